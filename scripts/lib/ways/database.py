"""The database dies and is away (`--away`), then comes back; then all its connections are killed every five
seconds for a while (`--cutting`). Nobody may be declared dead for it. While it is away, calls are refused
within a second, with 503/1023 and Retry-After; but for the few whose commit was under way when it died, or
was the first to find it dead: what became of them is not known before it is back. After it everything goes
on as before.
"""
import asyncio
import subprocess
import time

from . import rounded

CAUGHT_S = 1.0     # calls that began so soon after its death may have been in a commit
CAUGHT = "503/1011"
REFUSED_S = 1.0    # a refusal must not take longer
REFUSAL = "503/1023"
RECOVERED_S = 3.0  # after so long the rate is what it was
WINDOW_S = 10.0    # over which that is measured
SHARE = 0.95
CUT_S = 5.0        # between two killings of all connections

KILL = {
    "postgres": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
    "mariadb": "SELECT CONCAT('KILL ', id, ';') FROM information_schema.processlist "
               "WHERE id <> CONNECTION_ID() AND user = 'heliograph'",
}


async def rounds(stage, count):
    before = await stage.still()
    outages, cuts = [], []
    for done in range(count):
        await stage.healthy()
        dying = time.monotonic()
        await asyncio.to_thread(stage.database.crash)
        gone = time.monotonic()
        await asyncio.sleep(stage.options.away)
        await asyncio.to_thread(stage.database.resume)
        back = time.monotonic()
        outages.append((dying, gone, back))
        await stage.accepting(back)
        await asyncio.sleep(RECOVERED_S + WINDOW_S)
        began = time.monotonic()
        while time.monotonic() < began + stage.options.cutting:
            await asyncio.to_thread(cut, stage.database)
            await asyncio.sleep(CUT_S)
        cuts.append((began, time.monotonic()))
        stage.gateway.check_alive()
        await stage.shared()
        stage.show(f"outage {done + 1}/{count}")
    moved = stage.epochs() - before
    return lambda: measured(stage, moved, outages, cuts)


def cut(database):
    found = database.sql(KILL[database.engine])
    if database.engine == "mariadb":
        for line in found.splitlines():
            try:
                database.sql(line)
            except subprocess.CalledProcessError:
                pass  # It has gone by itself since.


def measured(stage, moved, outages, cuts):
    load, took, wrong, answers, caught, shares = stage.load, [], {}, 0, 0, []
    for dying, gone, back in outages:
        for one in load.refused:
            if one.what == CAUGHT and dying - REFUSED_S < one.began < gone + CAUGHT_S:
                caught += 1
            elif dying < one.began < back - REFUSED_S:
                answers += 1
                took.append((one.ended - one.began, one.began - gone, one.what))
                if one.what != REFUSAL or not one.retry_after:
                    wrong[one.what] = wrong.get(one.what, 0) + 1
        took += [(one.ended - one.began, one.began - gone, "201") for one in load.accepted.values()
                 if gone + CAUGHT_S < one.began < back - REFUSED_S]
        since = back + RECOVERED_S
        came = sum(since <= one.ended < since + WINDOW_S for one in load.accepted.values())
        shares.append(came / (load.rate * WINDOW_S))
    cutting = sum(1 for one in load.refused if any(b <= one.began < e for b, e in cuts))
    if moved:
        stage.broken.append(f"{moved} shards changed hands although only the database was away")
    if wrong:
        stage.broken.append(f"while the database was away calls were answered {wrong} "
                            f"instead of {REFUSAL} with Retry-After")
    slow = sorted((one for one in took if one[0] > REFUSED_S), reverse=True)
    if slow:
        worst = ", ".join(f"{what} after {took_s:.1f} s to a call begun {began:.1f} s into it"
                          for took_s, began, what in slow[:5])
        stage.broken.append(f"while the database was away {len(slow)} answers took more than "
                            f"{REFUSED_S:.0f} s: {worst}")
    if min(shares) < SHARE:
        stage.broken.append(f"{RECOVERED_S:.0f} s after the database was back the rate was "
                            f"{min(shares):.0%} of what was asked for")
    after = sum(1 for one in load.refused
                if any(one.began > back for *_, back in outages) and not
                any(dying <= one.began <= back for dying, _, back in outages))
    return {"takeovers": moved, "refused_while_away": answers, "caught": caught,
            "slowest_refusal_s": rounded(max(took, default=(0.0,))[0]),
            "rate_after": rounded(min(shares)), "client_errors_cutting": cutting,
            "client_errors_after": after}
