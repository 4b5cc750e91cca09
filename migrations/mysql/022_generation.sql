-- Where each generation of the account begins in each shard's event log; the highest is in force.
-- Without a row it is the first.
CREATE TABLE IF NOT EXISTS `generation` (
    `generation` bigint NOT NULL,
    `shard` smallint NOT NULL,
    `first_seq` bigint NOT NULL,
    PRIMARY KEY (`generation`, `shard`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
