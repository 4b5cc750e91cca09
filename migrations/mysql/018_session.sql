-- The sessions with one device of a contact; rewritten with every message.
CREATE TABLE IF NOT EXISTS `session` (
    `shard` smallint NOT NULL,
    `wa_id` varbinary(15) NOT NULL,
    `device` bigint NOT NULL,
    `generation` bigint NOT NULL,
    `record` longblob NOT NULL,
    PRIMARY KEY (`shard`, `wa_id`, `device`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
