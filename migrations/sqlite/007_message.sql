-- Insert-only; outlives its job.
CREATE TABLE IF NOT EXISTS "message" (
    "shard" INTEGER NOT NULL,
    "key" BLOB NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "body_hash" BLOB NOT NULL,
    "body" BLOB NOT NULL,
    PRIMARY KEY ("shard", "key")
) STRICT, WITHOUT ROWID;
