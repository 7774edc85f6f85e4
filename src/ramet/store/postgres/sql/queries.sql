-- name: version
-- Which migrations the tables have had.
SELECT version FROM ramet.store;

-- name: exists
-- Whether there are tables of ramet's.
SELECT to_regclass('ramet.store') IS NOT NULL;

-- name: schema_exists
-- The schema, if it exists.
SELECT nspname FROM pg_namespace WHERE nspname = %(schema)s;

-- name: add_version
-- Records the version of new tables.
INSERT INTO ramet.store (version) VALUES (%(version)s);

-- name: set_version
-- Records which migrations the tables have had.
UPDATE ramet.store SET version = %(version)s;

-- name: blobs
-- Where the checkpoints are kept, if that was recorded.
SELECT blobs FROM ramet.store;

-- name: set_blobs
-- Records where the checkpoints are kept.
UPDATE ramet.store SET blobs = %(blobs)s;

-- name: lock_schema
-- Waits until no other process migrates tables, or begins, overwrites, renames or deletes a run.
SELECT pg_advisory_xact_lock(hashtext('ramet'), hashtext('ramet.store'));

-- name: run
-- What verbs need to know of a run, and the time.
SELECT id, name, steps, round, head, members, checked_from, checksum,
    extract(epoch FROM clock_timestamp())::float8
FROM ramet.runs WHERE name = %(name)s;

-- name: lock_run
-- The same, and no other process commits to the run before this transaction ends.
SELECT id, name, steps, round, head, members, checked_from, checksum,
    extract(epoch FROM clock_timestamp())::float8
FROM ramet.runs WHERE name = %(name)s
FOR UPDATE;

-- name: lock_members
-- No other process leases a member of the run before this transaction ends.
SELECT member FROM ramet.members WHERE run = %(run)s ORDER BY member FOR UPDATE;

-- name: names
-- The runs, in the order in which they were opened.
SELECT name FROM ramet.runs ORDER BY id;

-- name: add_run
-- Begins a run.
INSERT INTO ramet.runs (id, name, steps, round, head, members)
VALUES (
    coalesce(%(id)s::bigint, nextval(pg_get_serial_sequence('ramet.runs', 'id'))),
    %(name)s, %(steps)s, %(round)s, -1, %(members)s
);

-- name: begin_tokens
-- Sets what the tokens of a new run's leases must be greater than.
UPDATE ramet.members
SET token = greatest(%(token)s::bigint, (SELECT max(token) FROM ramet.store))
WHERE run = %(run)s;

-- name: next_run
-- A number that no run has had, and the greatest token of this one's leases.
SELECT nextval(pg_get_serial_sequence('ramet.runs', 'id')),
    (SELECT max(token) FROM ramet.members WHERE run = %(run)s);

-- name: add_member_each
-- Adds members that have not trained yet, from lists of what each has.
INSERT INTO ramet.members (run, member, trained, step, turn, score, checkpoint, phase, checksum)
SELECT * FROM unnest(
    %b::bigint [], %b::bigint [], %b::bigint [], %b::bigint [], %b::bigint [], %b::float8 [],
    %b::text [], %b::bigint [], %b::bytea []
);

-- name: add_event
-- Writes a row of events.
INSERT INTO ramet.events (run, number, at, worker, took_s, event, checksum)
VALUES (%s, %s, %s, %s, %s, %s, %s);

-- name: add_event_each
-- The same of several.
INSERT INTO ramet.events (run, number, at, worker, took_s, event, checksum)
SELECT * FROM unnest(
    %b::bigint [], %b::bigint [], %b::float8 [], %b::text [], %b::float8 [], %b::bytea [],
    %b::bytea []
);

-- name: checksum
-- The checksum of a row of events, by the last of them.
SELECT checksum FROM ramet.events WHERE run = %(run)s AND number = %(number)s;

-- name: notify
-- Wakes workers that wait for a member or for the next round.
SELECT pg_notify(%(channel)s, %(run)s::text);

-- name: move_on
-- Records how far the log reaches and what changed with it.
UPDATE ramet.runs
SET steps = %(steps)s, round = %(round)s, head = %(head)s, checksum = %(checksum)s
WHERE id = %(id)s;

-- name: claim
-- Leases a free member: the first, or the preferred one if that trained as little. It does not wait
-- for the disk. The answer is one row: what verbs need to know of the run, and the time; a member
-- that may be free; and, only if that was leased, its number, token and lost leases. A member that
-- has a lease is not leased, because the lease must be judged first; nor is one that another
-- transaction has changed since the run was read.
WITH run AS MATERIALIZED (
    SELECT id, name, steps, round, head, members, checked_from, checksum,
        coalesce(%(now)s, extract(epoch FROM clock_timestamp())::float8) AS at,
        set_config('synchronous_commit', 'off', true) AS unsynced
    FROM ramet.runs WHERE name = %(name)s
),

first_free AS MATERIALIZED (
    SELECT member, trained, token, worker
    FROM ramet.members
    WHERE run = (SELECT id FROM run) AND phase = (SELECT coalesce(round, 0) FROM run)
    AND trained < (SELECT steps FROM run)
    AND (%(among)s::bigint [] IS NULL OR member = ANY (%(among)s::bigint []))
    AND (
        worker IS NULL OR expires_at <= (SELECT at FROM run)
        OR heard_at > (SELECT at FROM run) + %(set_back_s)s
        OR (process <> ALL (%(there)s::text []) AND starts_with(process, %(machine)s::text))
    )
    ORDER BY trained, member
    LIMIT 1
    FOR UPDATE SKIP LOCKED
),

preferred AS MATERIALIZED (
    SELECT member, trained, token, worker
    FROM ramet.members
    WHERE run = (SELECT id FROM run) AND member = %(prefer)s
    AND phase = (SELECT coalesce(round, 0) FROM run)
    AND trained = (SELECT trained FROM first_free)
    AND (%(among)s::bigint [] IS NULL OR member = ANY (%(among)s::bigint []))
    AND (
        worker IS NULL OR expires_at <= (SELECT at FROM run)
        OR heard_at > (SELECT at FROM run) + %(set_back_s)s
        OR (process <> ALL (%(there)s::text []) AND starts_with(process, %(machine)s::text))
    )
    FOR UPDATE SKIP LOCKED
),

chosen AS MATERIALIZED (
    SELECT member, token, worker FROM preferred
    UNION ALL
    SELECT member, token, worker FROM first_free WHERE NOT EXISTS (SELECT FROM preferred)
),

leased AS (
    UPDATE ramet.members AS its
    SET token = its.token + 1, worker = %(worker)s, process = %(process)s,
        heard_at = (SELECT at FROM run), expires_at = (SELECT at FROM run) + %(ttl_s)s
    FROM chosen
    WHERE its.run = (SELECT id FROM run) AND its.member = chosen.member
    AND chosen.worker IS NULL
    -- These are as they were when the run was read.
    AND its.worker IS NULL AND its.token = chosen.token
    RETURNING its.member, its.token, its.lost
)

SELECT run.id, run.name, run.steps, run.round, run.head, run.members, run.checked_from,
    run.checksum, run.at, chosen.member, leased.member, leased.token, leased.lost
FROM run LEFT JOIN chosen ON true LEFT JOIN leased ON true;

-- name: first_free
-- The member that trained least, of those without a live lease, or with one of a process of this
-- machine that is not known to be there; who holds it, since when nothing was heard, and whether that lease lives.
SELECT member, trained, token, lost, heard_at, process, expires_at > %(now)s
    AND heard_at <= %(soon)s
FROM ramet.members
WHERE run = %(run)s AND phase = %(phase)s AND trained < %(steps)s
AND (%(among)s::bigint [] IS NULL OR member = ANY (%(among)s::bigint []))
AND (
    worker IS NULL OR expires_at <= %(now)s OR heard_at > %(soon)s
    OR (process <> ALL (%(there)s::text []) AND starts_with(process, %(machine)s::text))
)
ORDER BY trained, member
LIMIT 1
FOR UPDATE SKIP LOCKED;

-- name: all_free
-- The same of all such members, those that trained least first.
SELECT member, trained, token, lost, heard_at, process, expires_at > %(now)s
    AND heard_at <= %(soon)s
FROM ramet.members
WHERE run = %(run)s AND phase = %(phase)s AND trained < %(steps)s
AND (
    worker IS NULL OR expires_at <= %(now)s OR heard_at > %(soon)s
    OR (process <> ALL (%(there)s::text []) AND starts_with(process, %(machine)s::text))
)
ORDER BY trained, member
FOR UPDATE SKIP LOCKED;

-- name: preferred_free
-- The same of the preferred member, if it trained as little as that one.
SELECT member, trained, token, lost, heard_at, process, expires_at > %(now)s
    AND heard_at <= %(soon)s
FROM ramet.members
WHERE run = %(run)s AND member = %(prefer)s AND phase = %(phase)s AND trained = %(trained)s
AND (%(among)s::bigint [] IS NULL OR member = ANY (%(among)s::bigint []))
AND (
    worker IS NULL OR expires_at <= %(now)s OR heard_at > %(soon)s
    OR (process <> ALL (%(there)s::text []) AND starts_with(process, %(machine)s::text))
)
FOR UPDATE SKIP LOCKED;

-- name: due
-- The member, if it may train this turn, whoever holds it.
SELECT member, trained, token, lost, NULL::float8, NULL::text, false
FROM ramet.members
WHERE run = %(run)s AND member = %(member)s
AND phase = %(phase)s AND trained < %(steps)s AND turn = %(turn)s
FOR UPDATE;

-- name: lease_each
-- Gives members to workers.
UPDATE ramet.members AS its
SET token = new.token, worker = new.worker, heard_at = new.heard_at, expires_at = new.expires_at,
    process = new.process, lost = new.lost
FROM unnest(
    %b::bigint [], %b::text [], %b::float8 [], %b::float8 [], %b::text [], %b::bigint [],
    %b::bigint [], %b::bigint []
) AS new (token, worker, heard_at, expires_at, process, lost, run, member)
WHERE its.run = new.run AND its.member = new.member;

-- name: head
-- The last event of a run.
SELECT head FROM ramet.runs WHERE id = %(run)s;

-- name: holders
-- Who holds members, and by which tokens, until this transaction ends. In the order of the members,
-- so that no two transactions wait for each other.
SELECT member, worker, token FROM ramet.members
WHERE run = %(run)s AND member = ANY (%(members)s::bigint [])
ORDER BY member
FOR UPDATE;

-- name: holder_in
-- The same of one member, by the name of the run.
SELECT member, worker, token FROM ramet.members
WHERE run = (SELECT id FROM ramet.runs WHERE name = %(name)s) AND member = %(member)s
FOR UPDATE;

-- name: let_go
-- Ends a lease, if it is the last one given.
UPDATE ramet.members SET worker = NULL, heard_at = NULL, expires_at = NULL, process = NULL
WHERE run = %(run)s AND member = %(member)s AND token = %(token)s;

-- name: held_by
-- What a worker holds.
SELECT member, token FROM ramet.members
WHERE run = %(run)s AND worker = %(worker)s
ORDER BY member;

-- name: checkpoint
-- What a member goes on from.
SELECT checkpoint FROM ramet.members WHERE run = %(run)s AND member = %(member)s;

-- name: put
-- Records how a member stands and ends its lease; if it is revoked, its token is void too.
UPDATE ramet.members
SET trained = %s, step = %s, turn = %s, score = %s, checkpoint = %s, phase = %s, checksum = %s,
    token = token + %s::bool::int,
    -- What stands on the right is as it was before.
    lost = CASE WHEN turn = %s THEN lost ELSE 0 END,
    worker = NULL, heard_at = NULL, expires_at = NULL, process = NULL
WHERE run = %s AND member = %s;

-- name: put_each
-- The same of several.
UPDATE ramet.members AS its
SET trained = new.trained, step = new.step, turn = new.turn, score = new.score,
    checkpoint = new.checkpoint, phase = new.phase, checksum = new.checksum,
    token = its.token + new.revoked::int,
    lost = CASE WHEN its.turn = new.turn THEN its.lost ELSE 0 END,
    worker = NULL, heard_at = NULL, expires_at = NULL, process = NULL
FROM unnest(
    %b::bigint [], %b::bigint [], %b::bigint [], %b::float8 [], %b::text [], %b::bigint [],
    %b::bytea [], %b::bool [], %b::bigint [], %b::bigint [], %b::bigint []
) AS new (trained, step, turn, score, checkpoint, phase, checksum, revoked, same, run, member)
WHERE its.run = new.run AND its.member = new.member;

-- name: events
-- The rows with the events from one number to another; none is larger than any that was written.
SELECT run, number, at, worker, took_s,
    CASE WHEN length(event) <= %(most_bytes)s THEN event END, checksum
FROM ramet.events WHERE run = %(run)s AND number > %(after)s AND number <= coalesce((
    SELECT min(number) FROM ramet.events WHERE run = %(run)s AND number >= %(last)s
), %(last)s)
ORDER BY number;

-- name: news
-- What verbs need to know of a run, and the time, beside each row of events behind a number, or none.
SELECT runs.id, runs.name, runs.steps, runs.round, runs.head, runs.members, runs.checked_from,
    runs.checksum, extract(epoch FROM clock_timestamp())::float8, news.*
FROM ramet.runs LEFT JOIN LATERAL (
    SELECT run, number, at, worker, took_s,
        CASE WHEN length(event) <= %(most_bytes)s THEN event END, events.checksum
    FROM ramet.events
    WHERE run = runs.id AND number > %(after)s
    ORDER BY number
) AS news ON true
WHERE name = %(name)s;

-- name: first_event
-- The opening of a run.
SELECT run, number, at, worker, took_s,
    CASE WHEN length(event) <= %(most_bytes)s THEN event END, checksum
FROM ramet.events
WHERE run = %(run)s AND number = 0;

-- name: summary
-- How a run stood some events ago.
SELECT digest, summary FROM ramet.summaries WHERE run = %(run)s;

-- name: sum_up
-- Records how a run stands.
INSERT INTO ramet.summaries (run, digest, summary) VALUES (%(run)s, %(digest)s, %(summary)s)
ON CONFLICT (run) DO UPDATE SET digest = EXCLUDED.digest, summary = EXCLUDED.summary;

-- name: seats
-- How the members stand, who holds them, and whether that lease lives while its process does.
SELECT run, member, trained, step, turn, score, checkpoint, phase, checksum, worker, heard_at,
    (worker IS NOT NULL AND heard_at <= %(soon)s AND expires_at > %(now)s), process
FROM ramet.members
WHERE run = %(run)s
ORDER BY member;
