"""The network between two parties takes nothing any more, and later everything: one coreapp and the
database, or one webapp and one coreapp, in turn. Connections stay open and are silent, as with a lost cable.

A coreapp without its database has to fall silent, and what it owned goes to the others; when it is back it
has to end, having written and sent nothing. A webapp that does not reach the owner of a shard reaches
others that do.
"""
import asyncio
import random
import time

import gateway as gw
import proxy

from . import seconds
from .stop import ENDED_S, TAKEN_S

LATER_S = (0.0, 5.0)  # how much longer it is cut off after the others own everything
APART_S = 15.0        # a webapp and a coreapp


def prepare(stage):
    """Proxies in front of every coreapp's calls and of the database, one for each coreapp."""
    gateway = stage.gateway
    routes = {}
    for n, role in enumerate(gateway.core_roles):
        gateway.core_hosts[role] = f"127.0.1.{n + 1}"
        for port in range(gateway.cores[n], gateway.cores[n] + 3):
            routes[(gateway.core_hosts[role], port)] = (role, ("127.0.0.1", port))
        there, host, port = proxy.split(stage.database.url)
        gateway.databases[role] = proxy.joined(there, f"127.0.1.{n + 1}", port)
        routes[(f"127.0.1.{n + 1}", port)] = (f"database of {role}", (host, port))
    stage.proxy = proxy.Proxy(routes)


async def rounds(stage, count):
    cuts = []
    for done in range(count):
        await stage.healthy()
        role = random.choice(stage.gateway.core_roles)
        cuts.append(time.monotonic())
        if done % 2 == 0:
            await from_database(stage, role)
        else:
            await from_webapp(stage, role, random.choice(stage.gateway.web_roles))
        await stage.accepting(time.monotonic())
        await stage.shared()
        stage.show(f"partition {done + 1}/{count}")
    return lambda: measured(stage, cuts)


async def from_database(stage, role):
    others = [other for other in stage.gateway.core_roles if other != role]
    child = stage.gateway.children.pop(role)
    stage.proxy.block(f"database of {role}")
    await stage.until("the others own everything", TAKEN_S,
                      lambda: stage.shards_of(others) == gw.SHARDS)
    await asyncio.sleep(random.uniform(*LATER_S))
    stage.proxy.heal(f"database of {role}")
    await stage.until(f"{role}, taken over from, ends", ENDED_S, lambda: child.poll() is not None)
    if child.returncode != 1:
        stage.broken.append(f"{role} ended with {child.returncode} instead of 1 when it was back")
    stage.gateway.start_role(role)


async def from_webapp(stage, role, webapp):
    pid = stage.gateway.children[webapp].pid
    stage.proxy.block(role, pid)
    await asyncio.sleep(APART_S)
    stage.proxy.heal(role, pid)


def measured(stage, cuts):
    if stage.load.refused:
        stage.broken.append(f"calls failed: {stage.load.errors()}")
    took = {"database": cuts[0::2], "webapp": cuts[1::2]}
    return {name: value for which, begun in took.items() for name, value in
            seconds([stage.took(cut) for cut in begun], f"without_{which}").items()}
