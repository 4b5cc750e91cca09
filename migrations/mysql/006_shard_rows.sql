-- The account-wide shard -1 and the 64 others, owned by nobody.
INSERT IGNORE INTO `shard` (`id`, `owner_inc`, `epoch`, `event_floor`)
WITH RECURSIVE ids(n) AS (SELECT -1 UNION ALL SELECT n + 1 FROM ids WHERE n < 63)
SELECT n, 0, 0, 0 FROM ids;
