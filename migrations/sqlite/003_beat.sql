-- Counters that prove a node alive; apart from node because they change every second.
CREATE TABLE IF NOT EXISTS "beat" (
    "inc" INTEGER NOT NULL PRIMARY KEY,
    "n" INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
