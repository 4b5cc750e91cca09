-- What a request was answered with, for its repeats. "hash" begins with the day (4 bytes), so that
-- the rows of a day lie side by side and old ones go by a range of the key.
CREATE TABLE IF NOT EXISTS "idempotency" (
    "shard" INTEGER NOT NULL,
    "hash" BLOB NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "key" BLOB NOT NULL,
    PRIMARY KEY ("shard", "hash")
) STRICT, WITHOUT ROWID;
