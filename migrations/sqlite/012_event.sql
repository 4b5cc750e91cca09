-- The log of a shard: gap-free, deleted from its old end only.
CREATE TABLE IF NOT EXISTS "event" (
    "shard" INTEGER NOT NULL,
    "seq" INTEGER NOT NULL,
    "kind" INTEGER NOT NULL,
    "route_hash" INTEGER NOT NULL,
    "msg_key" BLOB,
    "held" INTEGER NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "body" BLOB NOT NULL,
    PRIMARY KEY ("shard", "seq")
) STRICT, WITHOUT ROWID;
