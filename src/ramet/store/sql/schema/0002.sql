-- How long turns took.

-- Seconds since the lease was given that the event was written under; NULL if under none.
ALTER TABLE events ADD COLUMN took_s REAL;
