-- Numbers the business has blocked. By route, so that no notation of a number escapes.
CREATE TABLE IF NOT EXISTS "blocked" (
    "shard" INTEGER NOT NULL,
    "route_hash" INTEGER NOT NULL,
    "number" BLOB NOT NULL,
    "created_ms" INTEGER NOT NULL,
    PRIMARY KEY ("shard", "route_hash")
) STRICT, WITHOUT ROWID;
