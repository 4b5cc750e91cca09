-- Received messages, to recognise their repetition.
CREATE TABLE IF NOT EXISTS `inbound` (
    `shard` smallint NOT NULL,
    `peer_hash` bigint NOT NULL,
    `key` varbinary(16) NOT NULL,
    `created_ms` bigint NOT NULL,
    PRIMARY KEY (`shard`, `peer_hash`, `key`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
