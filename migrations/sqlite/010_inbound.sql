-- Received messages, to recognise their repetition.
CREATE TABLE IF NOT EXISTS "inbound" (
    "shard" INTEGER NOT NULL,
    "peer_hash" INTEGER NOT NULL,
    "key" BLOB NOT NULL,
    "created_ms" INTEGER NOT NULL,
    PRIMARY KEY ("shard", "peer_hash", "key")
) STRICT, WITHOUT ROWID;
