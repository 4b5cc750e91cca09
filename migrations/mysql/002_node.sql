-- Incarnations of coreapps.
CREATE TABLE IF NOT EXISTS `node` (
    `inc` bigint NOT NULL PRIMARY KEY,
    `name` varbinary(255) NOT NULL,
    `addr` varbinary(255) NOT NULL,
    `state` smallint NOT NULL,
    `version` varbinary(255) NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
