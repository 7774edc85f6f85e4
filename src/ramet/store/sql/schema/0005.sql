-- How often workers fell silent in the turn that a member is to train next.

-- Leases of that turn that ran out and were taken over; 0 again once the turn is over.
ALTER TABLE members ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
