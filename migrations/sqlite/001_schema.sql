-- What this database is at, and who may still use it.
CREATE TABLE IF NOT EXISTS "schema" (
    "id" INTEGER NOT NULL PRIMARY KEY,
    "version" INTEGER NOT NULL,
    "min_reader" INTEGER NOT NULL,
    "min_writer" INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
