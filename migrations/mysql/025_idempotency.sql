-- What a request was answered with, for its repeats. `hash` begins with the day (4 bytes), so that the
-- rows of a day lie side by side and old ones go by a range of the key.
CREATE TABLE IF NOT EXISTS `idempotency` (
    `shard` smallint NOT NULL,
    `hash` varbinary(20) NOT NULL,
    `created_ms` bigint NOT NULL,
    `key` varbinary(16) NOT NULL,
    PRIMARY KEY (`shard`, `hash`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
