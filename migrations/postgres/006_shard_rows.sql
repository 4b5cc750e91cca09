-- The account-wide shard -1 and the 64 others, owned by nobody.
INSERT INTO "shard" ("id", "owner_inc", "epoch", "event_floor")
SELECT n, 0, 0, 0 FROM generate_series(-1, 63) AS n
ON CONFLICT DO NOTHING;
