"""SIGKILL of a random coreapp, which comes back under its name after a random time: before the others
have noticed, or long after.
"""
import asyncio
import random
import sys
import time

from . import seconds

LONG_S = 8.0         # kills whose shards were away for longer are told
AWAY_S = (0.0, 9.0)  # with several coreapps: from a kill to the start of the next under its name


async def rounds(stage, count):
    gateway, several = stage.gateway, len(stage.gateway.core_roles) > 1
    kills = []  # when, when it was started again, who
    for done in range(count):
        await stage.healthy()
        role = random.choice(gateway.core_roles)
        gateway.kill(role)
        killed = time.monotonic()
        if several:
            await asyncio.sleep(random.uniform(*AWAY_S))
        gateway.start_role(role)
        kills.append((killed, time.monotonic(), role))
        await stage.accepting(killed)
        await stage.shared()
        await stage.answered(killed)
        stage.show(f"kill {done + 1}/{count}")
    if stage.options.outage:
        for role in gateway.core_roles:
            gateway.kill(role)
        await asyncio.sleep(stage.options.outage)
        for role in gateway.core_roles:
            gateway.start_role(role)
        await asyncio.sleep(3.0)
    return lambda: measured(stage, kills, several)


def measured(stage, kills, several):
    """From each kill to the last 201 of the calls that began right after it, so of those for the shards
    that were away; `restart`: of these shards' calls that its next start let go on, from that start."""
    if not several:
        accepted = stage.load.accepted.values()
        took = [min((one.ended - killed for one in accepted if one.began > killed), default=None)
                for killed, _, _ in kills]
        return seconds(took, "takeover")
    took, restarts = [], []
    for n, (killed, started, role) in enumerate(kills):
        last = stage.took(killed)
        took.append(last)
        if last is not None and last > LONG_S:
            at = time.strftime("%T", time.localtime(time.time() - time.monotonic() + killed))
            print(f"\nkill {n + 1} of {role} at {at}: started after {started - killed:.1f} s, "
                  f"the last call answered after {last:.1f} s", end="", file=sys.stderr)
        if last is not None and killed + last > started:
            restarts.append(killed + last - started)
    return {**seconds(took, "takeover"), "restarts": len(restarts), **seconds(restarts, "restart")}
