-- Events that were written together share a row, so that a round of a thousand takes a few rows.

-- No table changes. From here on, `number` is that of the last event of a row, and `event` may be a
-- list of several; versions of ramet that do not know that refuse
-- the store when they connect. Workers of such a version that are connected already must be stopped.
