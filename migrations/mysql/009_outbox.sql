-- The bytes that leave for one device; deleted with the job.
CREATE TABLE IF NOT EXISTS `outbox` (
    `shard` smallint NOT NULL,
    `key` varbinary(16) NOT NULL,
    `device` bigint NOT NULL,
    `kind` smallint NOT NULL,
    `payload` longblob NOT NULL,
    PRIMARY KEY (`shard`, `key`, `device`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
