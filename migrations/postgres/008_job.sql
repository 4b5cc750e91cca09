-- Messages that are not settled. In-flight state is not written.
CREATE TABLE IF NOT EXISTS "job" (
    "shard" smallint NOT NULL,
    "id" bigint NOT NULL,
    "key" bytea NOT NULL,
    "route_hash" bigint NOT NULL,
    "created_ms" bigint NOT NULL,
    "header" bytea NOT NULL,
    PRIMARY KEY ("shard", "id")
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_threshold = 200000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000
);
