-- Files of the media directory. Of the account, written by whoever takes a file in.
CREATE TABLE IF NOT EXISTS `media` (
    `id` varbinary(16) NOT NULL,
    `created_ms` bigint NOT NULL,
    `state` smallint NOT NULL,
    `size` bigint NOT NULL,
    `sha256` varbinary(32) NOT NULL,
    `mime` varbinary(255) NOT NULL,
    `source` mediumblob NOT NULL,
    PRIMARY KEY (`id`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
