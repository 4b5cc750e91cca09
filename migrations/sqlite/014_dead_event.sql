-- Events that an endpoint would not take.
CREATE TABLE IF NOT EXISTS "dead_event" (
    "endpoint" INTEGER NOT NULL,
    "shard" INTEGER NOT NULL,
    "seq" INTEGER NOT NULL,
    "kind" INTEGER NOT NULL,
    "route_hash" INTEGER NOT NULL,
    "msg_key" BLOB,
    "state" INTEGER NOT NULL,
    "due_ms" INTEGER NOT NULL,
    "tries" INTEGER NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "body" BLOB NOT NULL,
    PRIMARY KEY ("endpoint", "shard", "seq")
) STRICT, WITHOUT ROWID;
