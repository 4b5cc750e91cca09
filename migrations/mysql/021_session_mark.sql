-- A digest of the session written last: what is not it was put back. Apart from session, so that
-- neither row nor table is put back unnoticed.
CREATE TABLE IF NOT EXISTS `session_mark` (
    `shard` smallint NOT NULL,
    `wa_id` varbinary(15) NOT NULL,
    `device` bigint NOT NULL,
    `mark` varbinary(16) NOT NULL,
    PRIMARY KEY (`shard`, `wa_id`, `device`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
