-- What a request was answered with, for its repeats. "hash" begins with the day (4 bytes), so that
-- the rows of a day lie side by side and old ones go by a range of the key.
CREATE TABLE IF NOT EXISTS "idempotency" (
    "shard" smallint NOT NULL,
    "hash" bytea NOT NULL,
    "created_ms" bigint NOT NULL,
    "key" bytea NOT NULL,
    PRIMARY KEY ("shard", "hash")
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_threshold = 200000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000
);
