-- Incarnations of coreapps.
CREATE TABLE IF NOT EXISTS "node" (
    "inc" bigint NOT NULL PRIMARY KEY,
    "name" bytea NOT NULL,
    "addr" bytea NOT NULL,
    "state" smallint NOT NULL,
    "version" bytea NOT NULL
);
