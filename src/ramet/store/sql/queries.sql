-- name: add_run
-- Begins a run.
INSERT INTO runs (id, name, steps, round, head, members)
VALUES (
    coalesce(:id, 1 + max(
        coalesce((SELECT max(id) FROM runs), 0), coalesce((SELECT max(run) FROM deleted), 0)
    )),
    :name, :steps, :round, -1, :members
);

-- name: begin_tokens
-- Sets what the tokens of a new run's leases must be greater than.
UPDATE members SET token = max(:token, coalesce((SELECT max(token) FROM deleted), 0))
WHERE run = :run;

-- name: next_run
-- A number that no run has had, and the greatest token of this one's leases.
SELECT 1 + max((SELECT max(id) FROM runs), coalesce((SELECT max(run) FROM deleted), 0)),
    (SELECT max(token) FROM members WHERE run = :run);

-- name: remember_deleted
-- Has runs that are begun later get other numbers and tokens than this one had.
UPDATE deleted SET run = max(run, :run),
    token = max(token, coalesce((SELECT max(token) FROM members WHERE run = :run), 0));

-- name: delete_summary
-- Deletes the summary of a run.
DELETE FROM summaries WHERE run = :run;

-- name: delete_events
-- Deletes the log of a run.
DELETE FROM events WHERE run = :run;

-- name: delete_members
-- Deletes the members of a run.
DELETE FROM members WHERE run = :run;

-- name: delete_run
-- Deletes a run of which nothing else is left.
DELETE FROM runs WHERE id = :run;

-- name: rename_run
-- Gives a run another name.
UPDATE runs SET name = :name, checksum = :checksum WHERE id = :id;

-- name: rename_opening
-- Writes the first event of a run, which has its name.
UPDATE events SET event = :event, checksum = :checksum WHERE run = :run AND number = 0;

-- name: add_member
-- Adds a member that has not trained yet.
INSERT INTO members (run, member, trained, step, turn, score, checkpoint, phase, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: add_event
-- Writes a row of events.
INSERT INTO events (run, number, at, worker, took_s, event, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: run
-- What verbs need to know of a run.
SELECT id, name, steps, round, head, members, checked_from, checksum
FROM runs WHERE name = :name;

-- name: names
-- The runs, in the order in which they were opened.
SELECT name FROM runs ORDER BY id;

-- name: move_on
-- Records how far the log reaches and what changed with it.
UPDATE runs SET steps = :steps, round = :round, head = :head, checksum = :checksum WHERE id = :id;

-- name: first_free
-- The members that are free to train, those that trained least first; when their workers were last
-- heard of, if they fell silent.
SELECT member, trained, token, lost,
    CASE WHEN worker IS NOT NULL AND boot = :boot AND heard_at <= :now
        AND NOT (process IS NOT :process AND gone(CAST(process AS BLOB))) THEN heard_at END
FROM members INDEXED BY claims
WHERE run = :run AND phase = :phase AND trained < :steps
AND NOT (worker IS NOT NULL AND boot = :boot AND heard_at <= :now AND expires_at > :now
    AND NOT (process IS NOT :process AND gone(CAST(process AS BLOB))))
ORDER BY trained, member
LIMIT :most;

-- name: preferred_free
-- The preferred member, if it is free and trained as little as that one.
SELECT member, trained, token, lost,
    CASE WHEN worker IS NOT NULL AND boot = :boot AND heard_at <= :now
        AND NOT (process IS NOT :process AND gone(CAST(process AS BLOB))) THEN heard_at END
FROM members
WHERE run = :run AND member = :prefer AND phase = :phase AND trained = :trained
AND NOT (worker IS NOT NULL AND boot = :boot AND heard_at <= :now AND expires_at > :now
    AND NOT (process IS NOT :process AND gone(CAST(process AS BLOB))));

-- name: due
-- The member, if it may train this turn, whoever holds it.
SELECT member, trained, token, lost, NULL FROM members
WHERE run = :run AND member = :member
AND phase = :phase AND trained < :steps AND turn = :turn;

-- name: lease
-- Gives members in a row to a worker.
UPDATE members
SET token = ?, worker = ?, heard_at = ?, expires_at = ?, boot = ?, process = ?, lost = ?
WHERE run = ? AND member BETWEEN ? AND ?;

-- name: holder
-- Who holds a member, and by which token.
SELECT member, worker, token FROM members WHERE run = :run AND member = :member;

-- name: holders
-- Who holds each member, and by which token.
SELECT member, worker, token FROM members WHERE run = :run;

-- name: let_go
-- Ends a lease, if it is the last one given.
UPDATE members SET worker = NULL, heard_at = NULL, expires_at = NULL, boot = NULL, process = NULL
WHERE run = :run AND member = :member AND token = :token;

-- name: held_by
-- What a worker holds.
SELECT member, token FROM members WHERE run = :run AND worker = :worker ORDER BY member;

-- name: checkpoint
-- What a member goes on from.
SELECT checkpoint FROM members WHERE run = :run AND member = :member;

-- name: put
-- Records how a member stands and ends its lease; if it is revoked, its token is void too.
UPDATE members
SET trained = ?, step = ?, turn = ?, score = ?, checkpoint = ?, phase = ?, checksum = ?,
    token = token + ?,
    -- What stands on the right is as it was before.
    lost = CASE WHEN turn = ? THEN lost ELSE 0 END,
    worker = NULL, heard_at = NULL, expires_at = NULL, boot = NULL, process = NULL
WHERE run = ? AND member = ?;

-- name: events
-- The rows with the events from one number to another; none is larger than any that was written.
SELECT run, number, at, worker, took_s,
    CASE WHEN length(event) <= :most_bytes THEN CAST(event AS BLOB) END, checksum
FROM events
WHERE run = :run AND number > :after AND number <= coalesce(
    (SELECT min(number) FROM events WHERE run = :run AND number >= :last), :last
)
ORDER BY number;

-- name: first_event
-- The opening of a run.
SELECT run, number, at, worker, took_s,
    CASE WHEN length(event) <= :most_bytes THEN CAST(event AS BLOB) END, checksum
FROM events
WHERE run = :run AND number = 0;

-- name: summary
-- How a run stood some events ago.
SELECT digest, summary FROM summaries
WHERE run = :run AND typeof(digest) = 'text' AND typeof(summary) = 'blob';

-- name: sum_up
-- Records how a run stands.
INSERT OR REPLACE INTO summaries (run, digest, summary) VALUES (:run, :digest, :summary);

-- name: seats
-- How the members stand, and who holds them.
SELECT run, member, trained, step, turn, score, checkpoint, phase, checksum, worker, heard_at,
    (worker IS NOT NULL AND boot = :boot AND heard_at <= :now AND expires_at > :now
    AND NOT (process IS NOT :process AND gone(CAST(process AS BLOB))))
FROM members
WHERE run = :run
ORDER BY member;
