"""SIGSTOP of a random coreapp for longer than the others bear with it, then SIGCONT: it wakes with shards,
connections and timers of a time in which it owned something. It has to end at once, having written and
sent nothing; its supervisor (these rounds) starts it again.
"""
import asyncio
import random
import signal
import time

import gateway as gw

from . import seconds

LATER_S = (0.0, 6.0)  # from the moment the others own everything to SIGCONT
TAKEN_S = 30.0        # for the others to own everything
ENDED_S = 15.0        # for it to notice and end


async def rounds(stage, count):
    gateway, stops, fenced = stage.gateway, [], []
    for done in range(count):
        await stage.healthy()
        role = random.choice(gateway.core_roles)
        others = [other for other in gateway.core_roles if other != role]
        child = gateway.children.pop(role)
        child.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        stops.append(stopped)
        try:
            await stage.until("the others own everything", TAKEN_S,
                              lambda: stage.shards_of(others) == gw.SHARDS)
            await asyncio.sleep(random.uniform(*LATER_S))
        finally:
            child.send_signal(signal.SIGCONT)
        woken = time.monotonic()
        await stage.until(f"{role}, taken over from, ends", ENDED_S,
                          lambda: child.poll() is not None)
        fenced.append(time.monotonic() - woken)
        if child.returncode != 1:
            stage.broken.append(f"{role} ended with {child.returncode} instead of 1 after SIGCONT")
        gateway.start_role(role)
        await stage.accepting(woken)
        await stage.shared()
        await stage.answered(stopped)
        stage.show(f"stop {done + 1}/{count}")
    return lambda: {**seconds([stage.took(stopped) for stopped in stops], "takeover"),
                    "fenced": len(fenced), **seconds(fenced, "ended")}
