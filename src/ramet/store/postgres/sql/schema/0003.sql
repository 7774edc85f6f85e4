-- What the tokens of runs that are begun later must be greater than, so that no lease of a run that was
-- deleted is one of a later run of its name. Numbers of runs are never given twice.

ALTER TABLE ramet.store ADD COLUMN token bigint NOT NULL DEFAULT 0;
