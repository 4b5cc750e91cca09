-- How far an endpoint has got in a shard's log.
CREATE TABLE IF NOT EXISTS `cursor` (
    `endpoint` smallint NOT NULL,
    `shard` smallint NOT NULL,
    `read_to` bigint NOT NULL,
    `holes` longblob NOT NULL,
    PRIMARY KEY (`endpoint`, `shard`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
