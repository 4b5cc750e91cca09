-- The log of a shard: gap-free, deleted from its old end only.
CREATE TABLE IF NOT EXISTS "event" (
    "shard" smallint NOT NULL,
    "seq" bigint NOT NULL,
    "kind" smallint NOT NULL,
    "route_hash" bigint NOT NULL,
    "msg_key" bytea,
    "held" smallint NOT NULL,
    "created_ms" bigint NOT NULL,
    "body" bytea NOT NULL,
    PRIMARY KEY ("shard", "seq")
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_threshold = 200000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000
);
