"""Messages at a steady rate: each is sent at its time, whether or not earlier ones are answered. What
became of each call is remembered.
"""
import asyncio
import collections
import hashlib
import math
import random
import time

import gateway as gw
from load import Connection, code, text

OPEN_MAX = 3000    # calls that wait for their answers; then the load falls behind
BURST = 100        # strangers are written to so many at once
AGAIN = 0.3        # share of messages to the stranger that was written to last
PATIENCE_S = 30.0  # a patient client gives up after this
PAUSE_S = 0.1      # its pause after a connection that broke

# A call that was answered 201.
Accepted = collections.namedtuple("Accepted", "to began ended")
# One that was not: what its last answer was, and whether that said when to try again.
Refused = collections.namedtuple("Refused", "began ended what retry_after")


def shard(to):
    """Of an ordinary recipient of `gw.recipient`."""
    return hashlib.sha256(to.encode()).digest()[0] >> 2


class Steady:
    """`pool` None: to numbers that were never written to before, in bursts. `patient`: a call that met
    a broken connection or 503 is repeated under its Idempotency-Key, at the next webapp."""

    def __init__(self, ports, token, rate, pool, patient=False):
        self.ports, self.token, self.rate, self.pool = ports, token, rate, pool
        self.patient = patient
        self.burst, self.strangers = 1 if pool else BURST, 0
        self.idle = {port: [] for port in ports}
        self.accepted, self.unknown, self.refused = {}, {}, []
        self.latest = 0.0  # begin of the last call that was accepted
        self.tries = collections.Counter()  # of patient clients, that were repeated
        self.sent = 0
        self.open = {}  # n: begin; in the order they were begun
        self.stopping = False

    def oldest(self):
        """Begin of the call that has waited longest for its answer."""
        return next(iter(self.open.values()), math.inf)

    async def run(self):
        start = time.monotonic()
        places = asyncio.Semaphore(OPEN_MAX)
        async with asyncio.TaskGroup() as calls:
            while not self.stopping:
                n, self.sent = self.sent, self.sent + 1
                due = start + n // self.burst * self.burst / self.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await places.acquire()
                call = calls.create_task(self.call(n, gw.recipient(self.draw())))
                call.add_done_callback(lambda _: places.release())
        for idle in self.idle.values():
            for connection in idle:
                connection.close()

    def draw(self):
        if self.pool:
            return random.randrange(self.pool)
        self.strangers += not self.strangers or random.random() >= AGAIN
        return self.strangers

    async def call(self, n, to):
        began, turn, again = time.monotonic(), n, True
        self.open[n] = began
        while again:
            status, headers, body = await self.attempt(self.ports[turn % len(self.ports)], to, n)
            now = time.monotonic()
            again = (self.patient and status in (None, 503) and now < began + PATIENCE_S)
            if again:
                self.tries["broken" if status is None else body_kind(status, body)] += 1
                turn += 1
                await asyncio.sleep(float(headers.get("retry-after", PAUSE_S)))
        del self.open[n]
        if status == 201:
            self.accepted[body["messages"][0]["id"]] = Accepted(to, began, now)
            self.latest = max(self.latest, began)
            return
        if "x-heliograph-message-id" in headers:
            self.unknown[headers["x-heliograph-message-id"]] = to
        what = body if status is None else body_kind(status, body)
        self.refused.append(Refused(began, now, what, "retry-after" in headers))

    async def attempt(self, port, to, n):
        idle = self.idle[port]
        connection = idle.pop() if idle else Connection(port, self.token)
        key = f"chaos-{n}" if self.patient else None
        try:
            answer = await connection.post("/v1/messages", text(to, n), key)
        except (OSError, asyncio.IncompleteReadError) as error:
            return None, {}, f"connection: {type(error).__name__}"
        idle.append(connection)
        return answer

    def errors(self):
        return dict(collections.Counter(one.what for one in self.refused))


def body_kind(status, body):
    return f"{status}/{code(body)}"
