-- Tokens that were logged out.
CREATE TABLE IF NOT EXISTS "revoked" (
    "rand" BLOB NOT NULL PRIMARY KEY,
    "expires" INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
