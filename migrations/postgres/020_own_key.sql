-- Key pairs of ours: identity, signed pre-keys, one-time pre-keys.
CREATE TABLE IF NOT EXISTS "own_key" (
    "kind" smallint NOT NULL,
    "id" bigint NOT NULL,
    "state" smallint NOT NULL,
    "created_ms" bigint NOT NULL,
    "body" bytea NOT NULL,
    PRIMARY KEY ("kind", "id")
) WITH (
    fillfactor = 70
);
