-- The log of a shard: gap-free, deleted from its old end only.
CREATE TABLE IF NOT EXISTS `event` (
    `shard` smallint NOT NULL,
    `seq` bigint NOT NULL,
    `kind` smallint NOT NULL,
    `route_hash` bigint NOT NULL,
    `msg_key` varbinary(16),
    `held` smallint NOT NULL,
    `created_ms` bigint NOT NULL,
    `body` longblob NOT NULL,
    PRIMARY KEY (`shard`, `seq`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
