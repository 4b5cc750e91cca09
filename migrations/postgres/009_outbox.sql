-- The bytes that leave for one device; deleted with the job.
CREATE TABLE IF NOT EXISTS "outbox" (
    "shard" smallint NOT NULL,
    "key" bytea NOT NULL,
    "device" bigint NOT NULL,
    "kind" smallint NOT NULL,
    "payload" bytea NOT NULL,
    PRIMARY KEY ("shard", "key", "device")
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_threshold = 200000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000
);
