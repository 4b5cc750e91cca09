-- The network's last answer for a number; no wa_id, no account.
CREATE TABLE IF NOT EXISTS "contact" (
    "shard" INTEGER NOT NULL,
    "number" BLOB NOT NULL,
    "wa_id" BLOB,
    "checked_ms" INTEGER NOT NULL,
    PRIMARY KEY ("shard", "number")
) STRICT, WITHOUT ROWID;
