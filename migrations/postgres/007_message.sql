-- Insert-only; outlives its job.
CREATE TABLE IF NOT EXISTS "message" (
    "shard" smallint NOT NULL,
    "key" bytea NOT NULL,
    "created_ms" bigint NOT NULL,
    "body_hash" bytea NOT NULL,
    "body" bytea NOT NULL,
    PRIMARY KEY ("shard", "key")
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_threshold = 200000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000
);
