-- The identity key a contact's device last showed.
CREATE TABLE IF NOT EXISTS `identity` (
    `shard` smallint NOT NULL,
    `wa_id` varbinary(15) NOT NULL,
    `device` bigint NOT NULL,
    `key` varbinary(255) NOT NULL,
    `created_ms` bigint NOT NULL,
    `acknowledged` smallint NOT NULL,
    PRIMARY KEY (`shard`, `wa_id`, `device`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
