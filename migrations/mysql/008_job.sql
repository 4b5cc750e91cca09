-- Messages that are not settled. In-flight state is not written.
CREATE TABLE IF NOT EXISTS `job` (
    `shard` smallint NOT NULL,
    `id` bigint NOT NULL,
    `key` varbinary(16) NOT NULL,
    `route_hash` bigint NOT NULL,
    `created_ms` bigint NOT NULL,
    `header` longblob NOT NULL,
    PRIMARY KEY (`shard`, `id`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
