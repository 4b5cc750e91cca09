-- The network's last answer for a number; no wa_id, no account.
CREATE TABLE IF NOT EXISTS "contact" (
    "shard" smallint NOT NULL,
    "number" bytea NOT NULL,
    "wa_id" bytea,
    "checked_ms" bigint NOT NULL,
    PRIMARY KEY ("shard", "number")
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_threshold = 200000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000
);
