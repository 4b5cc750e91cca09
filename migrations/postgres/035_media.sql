-- Files of the media directory. Of the account, written by whoever takes a file in.
CREATE TABLE IF NOT EXISTS "media" (
    "id" bytea NOT NULL,
    "created_ms" bigint NOT NULL,
    "state" smallint NOT NULL,
    "size" bigint NOT NULL,
    "sha256" bytea NOT NULL,
    "mime" bytea NOT NULL,
    "source" bytea NOT NULL,
    PRIMARY KEY ("id")
);
