-- A digest of the session written last: what is not it was put back. Apart from session, so that
-- neither row nor table is put back unnoticed.
CREATE TABLE IF NOT EXISTS "session_mark" (
    "shard" smallint NOT NULL,
    "wa_id" bytea NOT NULL,
    "device" bigint NOT NULL,
    "mark" bytea NOT NULL,
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
