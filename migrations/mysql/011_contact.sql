-- The network's last answer for a number; no wa_id, no account.
CREATE TABLE IF NOT EXISTS `contact` (
    `shard` smallint NOT NULL,
    `number` varbinary(15) NOT NULL,
    `wa_id` varbinary(15),
    `checked_ms` bigint NOT NULL,
    PRIMARY KEY (`shard`, `number`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
