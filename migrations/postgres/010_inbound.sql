-- Received messages, to recognise their repetition.
CREATE TABLE IF NOT EXISTS "inbound" (
    "shard" smallint NOT NULL,
    "peer_hash" bigint NOT NULL,
    "key" bytea NOT NULL,
    "created_ms" bigint NOT NULL,
    PRIMARY KEY ("shard", "peer_hash", "key")
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_threshold = 200000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000
);
