-- Where each generation of the account begins in each shard's event log; the highest is in force.
-- Without a row it is the first.
CREATE TABLE IF NOT EXISTS "generation" (
    "generation" INTEGER NOT NULL,
    "shard" INTEGER NOT NULL,
    "first_seq" INTEGER NOT NULL,
    PRIMARY KEY ("generation", "shard")
) STRICT, WITHOUT ROWID;
