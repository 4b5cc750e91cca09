-- Insert-only; outlives its job.
CREATE TABLE IF NOT EXISTS `message` (
    `shard` smallint NOT NULL,
    `key` varbinary(16) NOT NULL,
    `created_ms` bigint NOT NULL,
    `body_hash` varbinary(32) NOT NULL,
    `body` longblob NOT NULL,
    PRIMARY KEY (`shard`, `key`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
