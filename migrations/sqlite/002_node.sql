-- Incarnations of coreapps.
CREATE TABLE IF NOT EXISTS "node" (
    "inc" INTEGER NOT NULL PRIMARY KEY,
    "name" BLOB NOT NULL,
    "addr" BLOB NOT NULL,
    "state" INTEGER NOT NULL,
    "version" BLOB NOT NULL
) STRICT, WITHOUT ROWID;
