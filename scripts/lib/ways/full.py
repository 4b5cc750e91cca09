"""The disk of the database is full for a while (`--away`), then has room again. Calls are refused meanwhile, and
everything that was accepted, and whatever the network said, is stored as soon as there is room. Nobody ends or
is declared dead for it. A server that ended for want of room (PostgreSQL does, when it is its log that has none)
is started again, as its supervisor would.

The disk is a file system in memory, of its own: only root may mount one.
"""
import asyncio
import collections
import errno
import os
import pathlib
import subprocess
import time

import gateway as gw

from . import rounded

SIZE_MIB = 1024
ROOM_MIB = 4       # left when it is filled; the load takes it
REFUSED_S = 120.0  # for the load to take it
SLOW_S = 12.0      # a call may wait so long for its answer: 10 s, and a busy client
AFTER_S = 10.0     # of load, once there is room again


def house(directory):
    """Where the database is to lie."""
    if os.geteuid() != 0:
        gw.fail("--how full mounts a small disk: it has to run as root")
    directory = pathlib.Path(directory)
    directory.chmod(0o755)
    disk = directory / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=755", "heliograph", disk], check=True)
    return disk


def unhouse(disk):
    subprocess.run(["umount", "--lazy", disk], check=False)


def fill(disk):
    """Gives what takes the room."""
    ballast = disk / "ballast"
    with open(ballast, "wb") as file:
        while True:
            free = os.statvfs(disk)
            try:
                os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - (ROOM_MIB << 20))
                return ballast
            except OSError as error:
                # The database took some meanwhile.
                if error.errno != errno.ENOSPC:
                    raise


async def rounds(stage, count):
    several = len(stage.gateway.core_roles) > 1
    before = await stage.still() if several else 0
    full, restarts = [], 0
    for done in range(count):
        await stage.healthy()
        ballast, filled = fill(stage.disk), time.monotonic()
        await stage.until("calls are refused", REFUSED_S,
                          lambda: any(one.began > filled for one in stage.load.refused))
        await asyncio.sleep(stage.options.away)
        stage.gateway.check_alive()
        ballast.unlink()
        emptied = time.monotonic()
        if stage.database.server and not stage.database.is_alive():
            await asyncio.to_thread(stage.database.resume)
            restarts += 1
        await stage.accepting(emptied)
        full.append((filled, emptied, time.monotonic()))
        await asyncio.sleep(AFTER_S)
        stage.gateway.check_alive()
        await stage.shared()
        stage.show(f"full {done + 1}/{count}")
    moved = stage.epochs() - before if several else 0
    return lambda: measured(stage, moved, restarts, full)


def measured(stage, moved, restarts, full):
    kinds, took = collections.Counter(), []
    for filled, emptied, _ in full:
        refused = [one for one in stage.load.refused if filled < one.began < emptied]
        kinds.update(one.what for one in refused)
        took += [one.ended - one.began for one in refused]
    after = [one for one in stage.load.refused
             if not any(filled - SLOW_S < one.began < again for filled, _, again in full)]
    if moved:
        stage.broken.append(f"{moved} shards changed hands although only the disk was full")
    wrong = [what for what in kinds if not what.startswith("503/")]
    if wrong:
        stage.broken.append(f"while the disk was full calls were answered {wrong}, not 503")
    if max(took) > SLOW_S:
        stage.broken.append(f"while the disk was full an answer took {max(took):.1f} s")
    if after:
        stage.broken.append(f"{len(after)} calls were refused while there was room")
    return {"takeovers": moved, "refused_while_full": dict(kinds), "slowest_refusal_s": rounded(max(took)),
            "accepts_again_s": rounded(max(again - emptied for _, emptied, again in full)),
            "server_restarts": restarts}
