-- How runs stand, so that nobody reads a long log to see it.

CREATE TABLE summaries (
    run INTEGER PRIMARY KEY REFERENCES runs (id),
    -- The name that the summary has by its content, which tells of damage.
    digest TEXT NOT NULL,
    -- JSON.
    summary BLOB NOT NULL
);
