-- Who owns a shard, under which epoch; events up to event_floor have been removed.
CREATE TABLE IF NOT EXISTS "shard" (
    "id" INTEGER NOT NULL PRIMARY KEY,
    "owner_inc" INTEGER NOT NULL,
    "epoch" INTEGER NOT NULL,
    "event_floor" INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
