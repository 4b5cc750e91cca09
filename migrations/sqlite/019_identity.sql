-- The identity key a contact's device last showed.
CREATE TABLE IF NOT EXISTS "identity" (
    "shard" INTEGER NOT NULL,
    "wa_id" BLOB NOT NULL,
    "device" INTEGER NOT NULL,
    "key" BLOB NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "acknowledged" INTEGER NOT NULL,
    PRIMARY KEY ("shard", "wa_id", "device")
) STRICT, WITHOUT ROWID;
