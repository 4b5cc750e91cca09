-- How the tries of a dead or parked event went: written, replaced and deleted with its row in dead_event,
-- beside it because a column more would ask for the right to alter tables.
CREATE TABLE IF NOT EXISTS `refusal` (
    `endpoint` smallint NOT NULL,
    `shard` smallint NOT NULL,
    `seq` bigint NOT NULL,
    `tried` varbinary(16) NOT NULL,
    PRIMARY KEY (`endpoint`, `shard`, `seq`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
