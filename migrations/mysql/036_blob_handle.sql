-- Under which name the network has a file of ours; used for up to seven days.
CREATE TABLE IF NOT EXISTS `blob_handle` (
    `id` varbinary(16) NOT NULL,
    `uploaded_ms` bigint NOT NULL,
    `handle` varbinary(255) NOT NULL,
    PRIMARY KEY (`id`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary;
