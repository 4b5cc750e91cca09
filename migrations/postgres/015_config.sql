-- Versioned JSON documents.
CREATE TABLE IF NOT EXISTS "config" (
    "name" bytea NOT NULL PRIMARY KEY,
    "version" bigint NOT NULL,
    "document" bytea NOT NULL
);
