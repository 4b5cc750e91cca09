-- The sessions with one device of a contact; rewritten with every message.
CREATE TABLE IF NOT EXISTS "session" (
    "shard" smallint NOT NULL,
    "wa_id" bytea NOT NULL,
    "device" bigint NOT NULL,
    "generation" bigint NOT NULL,
    "record" bytea NOT NULL,
    PRIMARY KEY ("shard", "wa_id", "device")
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_threshold = 200000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000
);
