-- Under which name the network has a file of ours; used for up to seven days.
CREATE TABLE IF NOT EXISTS "blob_handle" (
    "id" BLOB NOT NULL,
    "uploaded_ms" INTEGER NOT NULL,
    "handle" BLOB NOT NULL,
    PRIMARY KEY ("id")
) STRICT, WITHOUT ROWID;
