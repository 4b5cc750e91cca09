-- How the tries of a dead or parked event went: written, replaced and deleted with its row in dead_event,
-- beside it because a column more would ask for the right to alter tables.
CREATE TABLE IF NOT EXISTS "refusal" (
    "endpoint" INTEGER NOT NULL,
    "shard" INTEGER NOT NULL,
    "seq" INTEGER NOT NULL,
    "tried" BLOB NOT NULL,
    PRIMARY KEY ("endpoint", "shard", "seq")
) STRICT, WITHOUT ROWID;
