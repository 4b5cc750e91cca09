-- Counters that prove a node alive; apart from node because they change every second.
CREATE TABLE IF NOT EXISTS `beat` (
    `inc` bigint NOT NULL PRIMARY KEY,
    `n` bigint NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
