-- Which process holds a lease, so that it ends with that process.

-- The name of a process, or NULL where it is not known; NULL once the worker let go.
ALTER TABLE members ADD COLUMN process TEXT;
