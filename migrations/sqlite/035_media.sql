-- Files of the media directory. Of the account, written by whoever takes a file in.
CREATE TABLE IF NOT EXISTS "media" (
    "id" BLOB NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "state" INTEGER NOT NULL,
    "size" INTEGER NOT NULL,
    "sha256" BLOB NOT NULL,
    "mime" BLOB NOT NULL,
    "source" BLOB NOT NULL,
    PRIMARY KEY ("id")
) STRICT, WITHOUT ROWID;
