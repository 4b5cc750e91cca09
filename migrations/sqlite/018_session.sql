-- The sessions with one device of a contact; rewritten with every message.
CREATE TABLE IF NOT EXISTS "session" (
    "shard" INTEGER NOT NULL,
    "wa_id" BLOB NOT NULL,
    "device" INTEGER NOT NULL,
    "generation" INTEGER NOT NULL,
    "record" BLOB NOT NULL,
    PRIMARY KEY ("shard", "wa_id", "device")
) STRICT, WITHOUT ROWID;
