-- Key pairs of ours: identity, signed pre-keys, one-time pre-keys.
CREATE TABLE IF NOT EXISTS "own_key" (
    "kind" INTEGER NOT NULL,
    "id" INTEGER NOT NULL,
    "state" INTEGER NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "body" BLOB NOT NULL,
    PRIMARY KEY ("kind", "id")
) STRICT, WITHOUT ROWID;
