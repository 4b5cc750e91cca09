-- Versioned JSON documents.
CREATE TABLE IF NOT EXISTS `config` (
    `name` varbinary(255) NOT NULL PRIMARY KEY,
    `version` bigint NOT NULL,
    `document` longblob NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
