-- Tokens that were logged out.
CREATE TABLE IF NOT EXISTS "revoked" (
    "rand" bytea NOT NULL PRIMARY KEY,
    "expires" bigint NOT NULL
);
