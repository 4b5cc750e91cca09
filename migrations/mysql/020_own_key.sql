-- Key pairs of ours: identity, signed pre-keys, one-time pre-keys.
CREATE TABLE IF NOT EXISTS `own_key` (
    `kind` smallint NOT NULL,
    `id` bigint NOT NULL,
    `state` smallint NOT NULL,
    `created_ms` bigint NOT NULL,
    `body` longblob NOT NULL,
    PRIMARY KEY (`kind`, `id`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
