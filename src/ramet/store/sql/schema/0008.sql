-- What runs that are begun later must not have, so that no worker takes one for a run that was deleted.

CREATE TABLE deleted (
    -- The greatest number of a run that was deleted; 0 before the first.
    run INTEGER NOT NULL,
    -- The greatest token of their leases.
    token INTEGER NOT NULL
);
INSERT INTO deleted (run, token) VALUES (0, 0);
