-- Who may log in.
CREATE TABLE IF NOT EXISTS `user` (
    `name` varbinary(255) NOT NULL PRIMARY KEY,
    `password_hash` varbinary(1024) NOT NULL,
    `admin` smallint NOT NULL,
    `must_change` smallint NOT NULL,
    `not_before` bigint NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
