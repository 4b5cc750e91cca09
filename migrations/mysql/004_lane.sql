-- The fence: every transaction of a lane moves its row from batch n - 1 to n.
CREATE TABLE IF NOT EXISTS `lane` (
    `inc` bigint NOT NULL,
    `lane` smallint NOT NULL,
    `live` smallint NOT NULL,
    `batch` bigint NOT NULL,
    PRIMARY KEY (`inc`, `lane`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
