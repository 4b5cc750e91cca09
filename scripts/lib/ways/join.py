"""Coreapps come and go: from one to all of them, then one leaves (SIGTERM), and back to one. Measured is the
dip of each shard: the longest a call for it took while shards were moving, beside the same in calm.
"""
import asyncio
import time

import gateway as gw
from steady import shard

from . import rounded

FIRST = 1    # coreapps at the start
STOP_S = 45
CALM_S = 8.0
DIP_S = 0.5  # more is counted


async def rounds(stage, count):
    gateway, moves, calms = stage.gateway, [], []

    async def calm():
        began = time.monotonic()
        await asyncio.sleep(CALM_S)
        calms.append((began, time.monotonic()))

    async def move(role, change):
        began = time.monotonic()
        await change(role)
        await stage.shared()
        await stage.still()
        moves.append((began, time.monotonic()))
        await calm()

    async def join(role):
        gateway.start_role(role)

    async def leave(role):
        status = await stage.terminate(role, STOP_S)
        if status:
            stage.broken.append(f"{role} ended with {status} after SIGTERM")

    await calm()
    for done in range(count):
        for role in gateway.core_roles[FIRST:]:
            await move(role, join)
        for role in gateway.core_roles[FIRST:]:
            await move(role, leave)
        stage.show(f"round {done + 1}/{count}")
    return lambda: measured(stage, moves, calms)


def measured(stage, moves, calms):
    if stage.load.refused:
        stage.broken.append(f"calls failed: {stage.load.errors()}")
    dips, quiet = slowest(stage.load, moves), slowest(stage.load, calms)
    return {"moves": len(moves),
            "dip_p50_s": rounded(gw.percentile(dips, 0.5)),
            "dip_p99_s": rounded(gw.percentile(dips, 0.99)),
            "dip_max_s": rounded(max(dips, default=None)),
            "dips_over_500_ms": sum(dip > DIP_S for dip in dips), "dips": len(dips),
            "calm_p99_s": rounded(gw.percentile(quiet, 0.99)),
            "calm_over_500_ms": sum(dip > DIP_S for dip in quiet)}


def slowest(load, spans):
    """The slowest call of each shard in each span."""
    worst = {}
    for one in load.accepted.values():
        for n, (began, ended) in enumerate(spans):
            if one.ended > began and one.began < ended:
                place = (n, shard(one.to))
                worst[place] = max(worst.get(place, 0.0), one.ended - one.began)
    return list(worst.values())
