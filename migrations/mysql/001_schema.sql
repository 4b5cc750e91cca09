-- What this database is at, and who may still use it.
CREATE TABLE IF NOT EXISTS `schema` (
    `id` smallint NOT NULL PRIMARY KEY,
    `version` bigint NOT NULL,
    `min_reader` bigint NOT NULL,
    `min_writer` bigint NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
