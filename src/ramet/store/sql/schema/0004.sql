-- What tells damage by a disk or a copy: a checksum a row.

-- How many members the run has, and the number of the first event that was written with a checksum.
ALTER TABLE runs ADD COLUMN members INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN checked_from INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET
    members = (SELECT count(*) FROM members WHERE members.run = runs.id),
    checked_from = head + 1;

-- Of the columns that say how the run, the member or the event is; NULL in rows that were last
-- written before this column. A lease has none: it ends by itself.
ALTER TABLE runs ADD COLUMN checksum BLOB;
ALTER TABLE members ADD COLUMN checksum BLOB;
ALTER TABLE events ADD COLUMN checksum BLOB;
