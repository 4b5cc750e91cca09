-- Messages that are not settled. In-flight state is not written.
CREATE TABLE IF NOT EXISTS "job" (
    "shard" INTEGER NOT NULL,
    "id" INTEGER NOT NULL,
    "key" BLOB NOT NULL,
    "route_hash" INTEGER NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "header" BLOB NOT NULL,
    PRIMARY KEY ("shard", "id")
) STRICT, WITHOUT ROWID;
