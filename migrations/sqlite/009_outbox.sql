-- The bytes that leave for one device; deleted with the job.
CREATE TABLE IF NOT EXISTS "outbox" (
    "shard" INTEGER NOT NULL,
    "key" BLOB NOT NULL,
    "device" INTEGER NOT NULL,
    "kind" INTEGER NOT NULL,
    "payload" BLOB NOT NULL,
    PRIMARY KEY ("shard", "key", "device")
) STRICT, WITHOUT ROWID;
