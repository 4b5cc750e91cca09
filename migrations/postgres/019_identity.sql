-- The identity key a contact's device last showed.
CREATE TABLE IF NOT EXISTS "identity" (
    "shard" smallint NOT NULL,
    "wa_id" bytea NOT NULL,
    "device" bigint NOT NULL,
    "key" bytea NOT NULL,
    "created_ms" bigint NOT NULL,
    "acknowledged" smallint NOT NULL,
    PRIMARY KEY ("shard", "wa_id", "device")
) WITH (
    fillfactor = 90,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_threshold = 200000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000
);
