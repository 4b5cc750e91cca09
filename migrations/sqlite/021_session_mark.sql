-- A digest of the session written last: what is not it was put back. Apart from session, so that
-- neither row nor table is put back unnoticed.
CREATE TABLE IF NOT EXISTS "session_mark" (
    "shard" INTEGER NOT NULL,
    "wa_id" BLOB NOT NULL,
    "device" INTEGER NOT NULL,
    "mark" BLOB NOT NULL,
    PRIMARY KEY ("shard", "wa_id", "device")
) STRICT, WITHOUT ROWID;
