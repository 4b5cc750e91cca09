-- Where a message that is traced stands in its trace, for what is told of it later. Only such messages
-- have a row; it goes with the message's.
CREATE TABLE IF NOT EXISTS "trace" (
    "shard" smallint NOT NULL,
    "key" bytea NOT NULL,
    "context" bytea NOT NULL,
    PRIMARY KEY ("shard", "key")
);
