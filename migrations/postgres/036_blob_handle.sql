-- Under which name the network has a file of ours; used for up to seven days.
CREATE TABLE IF NOT EXISTS "blob_handle" (
    "id" bytea NOT NULL,
    "uploaded_ms" bigint NOT NULL,
    "handle" bytea NOT NULL,
    PRIMARY KEY ("id")
);
