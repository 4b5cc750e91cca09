-- The fence: every transaction of a lane moves its row from batch n - 1 to n.
CREATE TABLE IF NOT EXISTS "lane" (
    "inc" INTEGER NOT NULL,
    "lane" INTEGER NOT NULL,
    "live" INTEGER NOT NULL,
    "batch" INTEGER NOT NULL,
    PRIMARY KEY ("inc", "lane")
) STRICT, WITHOUT ROWID;
