-- How far an endpoint has got in a shard's log.
CREATE TABLE IF NOT EXISTS "cursor" (
    "endpoint" INTEGER NOT NULL,
    "shard" INTEGER NOT NULL,
    "read_to" INTEGER NOT NULL,
    "holes" BLOB NOT NULL,
    PRIMARY KEY ("endpoint", "shard")
) STRICT, WITHOUT ROWID;
