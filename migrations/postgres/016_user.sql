-- Who may log in.
CREATE TABLE IF NOT EXISTS "user" (
    "name" bytea NOT NULL PRIMARY KEY,
    "password_hash" bytea NOT NULL,
    "admin" smallint NOT NULL,
    "must_change" smallint NOT NULL,
    "not_before" bigint NOT NULL
);
