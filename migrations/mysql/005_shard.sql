-- Who owns a shard, under which epoch; events up to event_floor have been removed.
CREATE TABLE IF NOT EXISTS `shard` (
    `id` smallint NOT NULL PRIMARY KEY,
    `owner_inc` bigint NOT NULL,
    `epoch` bigint NOT NULL,
    `event_floor` bigint NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
