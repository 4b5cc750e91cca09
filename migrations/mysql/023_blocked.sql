-- Numbers the business has blocked. By route, so that no notation of a number escapes.
CREATE TABLE IF NOT EXISTS `blocked` (
    `shard` smallint NOT NULL,
    `route_hash` bigint NOT NULL,
    `number` varbinary(15) NOT NULL,
    `created_ms` bigint NOT NULL,
    PRIMARY KEY (`shard`, `route_hash`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
