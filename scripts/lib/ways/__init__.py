"""Ways of failing, one a file: what happens to the processes while messages come in, and what of it is
measured. Each has `rounds(stage, count)`, which gives a function for the measured fields, and may have
`prepare(stage)`, before anything runs, `house(directory)` and `unhouse(disk)`, where the database lies, `FIRST`,
coreapps at the start, and `PATIENT` (clients that repeat what 503 or a broken connection tells them to).
"""
import asyncio
import random
import sys
import time

import gateway as gw

HEALTHY_S = (0.0, 3.0)  # of the load, before the next round
SHARED_S = 60.0         # for every coreapp to get its share again
STILL_S = 3.0          # without a shard that changes hands: all are where they belong
ACCEPTING_S = 60.0      # for messages to be accepted again
STUCK_S = 1.0           # calls begun so soon after a failure tell how long its shards were away
ANSWERED_S = 30.0       # for these calls to be answered


class Stage:
    """Who plays: processes, database and where it lies, load; `broken` are promises that were not kept."""

    def __init__(self, gateway, database, disk, options):
        self.gateway, self.database, self.disk, self.options = gateway, database, disk, options
        self.load = None
        self.proxy = None
        self.broken = []

    def fail(self, text):
        gw.fail(f"{text}; errors {self.load.errors()}; logs in {self.gateway.directory}")

    async def healthy(self):
        await asyncio.sleep(random.uniform(*HEALTHY_S))
        self.gateway.check_alive()

    async def until(self, what, limit_s, condition):
        """Polls the condition, which may block a thread, until it holds."""
        deadline = time.monotonic() + limit_s
        while not await asyncio.to_thread(condition):
            if time.monotonic() > deadline:
                self.fail(f"{what}: not within {limit_s:.0f} s ({self.gateway.shards()} shards)")
            await asyncio.sleep(0.05)

    async def accepting(self, since):
        """Until a call that was begun later is accepted."""
        await self.until("messages are accepted again", ACCEPTING_S,
                         lambda: self.load.latest > since)

    async def answered(self, failed):
        """With --apart: until the calls that met this failure are answered, so that the next one meets
        others."""
        if not self.options.apart:
            return
        stuck = failed + STUCK_S
        await self.until("the calls of that time are answered", ANSWERED_S,
                         lambda: min(time.monotonic(), self.load.oldest()) > stuck)

    async def shared(self):
        """Until everyone who runs has its share, and every shard an owner."""
        if len(self.gateway.core_roles) > 1:
            await self.until("the shards are shared again", SHARED_S, self.gateway.is_shared)

    async def terminate(self, role, limit_s):
        return await asyncio.to_thread(self.gateway.terminate, role, limit_s)

    def shards_of(self, roles):
        owned = dict(zip(self.gateway.core_roles, self.gateway.shards()))
        return sum(owned[role] for role in roles)

    async def still(self):
        """Until no shard has changed hands for a while; gives the sum of the epochs."""
        seen, since = None, time.monotonic()
        while time.monotonic() < since + STILL_S:
            now = await asyncio.to_thread(self.epochs)
            if now != seen:
                seen, since = now, time.monotonic()
            await asyncio.sleep(0.2)
        return seen

    def epochs(self):
        """Sum of all shards' epochs: it grows by one whenever one changes hands."""
        return int(self.database.sql("SELECT SUM(epoch) FROM shard"))

    def took(self, failed):
        """How long after a failure the last call was answered that was begun right after it; `None`:
        nobody called."""
        ended = [one.ended - failed for one in self.load.accepted.values()
                 if failed < one.began < failed + STUCK_S]
        return max(ended, default=None)

    def show(self, text):
        print(f"\r{text}, accepted {len(self.load.accepted)}", end="", file=sys.stderr)


def seconds(values, name):
    """Fields with median and 99th percentile of durations."""
    values = [value for value in values if value is not None]
    return {f"{name}_p50_s": rounded(gw.percentile(values, 0.5)),
            f"{name}_p99_s": rounded(gw.percentile(values, 0.99))}


def rounded(value, digits=3):
    return None if value is None else round(value, digits)
