-- Versioned JSON documents.
CREATE TABLE IF NOT EXISTS "config" (
    "name" BLOB NOT NULL PRIMARY KEY,
    "version" INTEGER NOT NULL,
    "document" BLOB NOT NULL
) STRICT, WITHOUT ROWID;
