-- Who may log in.
CREATE TABLE IF NOT EXISTS "user" (
    "name" BLOB NOT NULL PRIMARY KEY,
    "password_hash" BLOB NOT NULL,
    "admin" INTEGER NOT NULL,
    "must_change" INTEGER NOT NULL,
    "not_before" INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
