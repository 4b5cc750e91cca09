-- Events that an endpoint would not take.
CREATE TABLE IF NOT EXISTS `dead_event` (
    `endpoint` smallint NOT NULL,
    `shard` smallint NOT NULL,
    `seq` bigint NOT NULL,
    `kind` smallint NOT NULL,
    `route_hash` bigint NOT NULL,
    `msg_key` varbinary(16),
    `state` smallint NOT NULL,
    `due_ms` bigint NOT NULL,
    `tries` bigint NOT NULL,
    `created_ms` bigint NOT NULL,
    `body` longblob NOT NULL,
    PRIMARY KEY (`endpoint`, `shard`, `seq`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
