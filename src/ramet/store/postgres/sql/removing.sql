-- name: remember_deleted
-- Has runs that are begun later get greater tokens than this one had.
UPDATE ramet.store
SET token = greatest(token, (SELECT max(token) FROM ramet.members WHERE run = %(run)s));

-- name: rename_run
-- Gives a run another name.
UPDATE ramet.runs SET name = %(name)s, checksum = %(checksum)s WHERE id = %(id)s;

-- name: rename_opening
-- Writes the first event of a run, which has its name.
UPDATE ramet.events SET event = %(event)s, checksum = %(checksum)s
WHERE run = %(run)s AND number = 0;

-- name: delete_summary
-- Deletes the summary of a run.
DELETE FROM ramet.summaries WHERE run = %(run)s;

-- name: delete_events
-- Deletes the log of a run.
DELETE FROM ramet.events WHERE run = %(run)s;

-- name: delete_members
-- Deletes the members of a run.
DELETE FROM ramet.members WHERE run = %(run)s;

-- name: delete_run
-- Deletes a run of which nothing else is left.
DELETE FROM ramet.runs WHERE id = %(run)s;
