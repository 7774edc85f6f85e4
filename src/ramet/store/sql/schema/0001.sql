-- Runs, their members and their events.

CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- The budget of each member.
    steps INTEGER NOT NULL,
    -- NULL in an asynchronous run.
    round INTEGER,
    -- The number of the last event.
    head INTEGER NOT NULL
);

CREATE TABLE members (
    run INTEGER NOT NULL REFERENCES runs (id),
    member INTEGER NOT NULL,
    trained INTEGER NOT NULL DEFAULT 0,
    step INTEGER NOT NULL DEFAULT 0,
    turn INTEGER NOT NULL DEFAULT 0,
    score REAL,
    checkpoint TEXT,
    -- The round in which it is next to train: its turn in a synchronous run, 0 in any other.
    phase INTEGER NOT NULL DEFAULT 0,
    -- Grows whenever the member changes hands.
    token INTEGER NOT NULL DEFAULT 0,
    -- Whoever leased it; NULL once that one let go, and so are the next three.
    worker TEXT,
    -- Seconds since the machine was started, and which start that was.
    heard_at REAL,
    expires_at REAL,
    boot TEXT,
    PRIMARY KEY (run, member)
) WITHOUT ROWID;

-- The order in which members are claimed, so that a claim costs the same among any number.
CREATE INDEX claims ON members (run, phase, trained, member);

CREATE TABLE events (
    run INTEGER NOT NULL REFERENCES runs (id),
    number INTEGER NOT NULL,
    -- Seconds since the epoch.
    at REAL NOT NULL,
    worker TEXT NOT NULL,
    -- JSON.
    event BLOB NOT NULL,
    PRIMARY KEY (run, number)
) WITHOUT ROWID;
