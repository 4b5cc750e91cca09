-- Tokens that were logged out.
CREATE TABLE IF NOT EXISTS `revoked` (
    `rand` varbinary(255) NOT NULL PRIMARY KEY,
    `expires` bigint NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
