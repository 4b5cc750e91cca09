"""A webhook in a process of its own: answers 200 and remembers each callback; can be made slow,
refuse single people's callbacks, and be taken away and brought back on its port.
"""
import asyncio
import collections
import json
import multiprocessing
import os
import time

# One event of a POST that was answered 200. `place` is (shard, sequence) of its webhook-id, `at` the
# monotonic clock, which is the same in all processes.
Arrival = collections.namedtuple("Arrival", "id status recipient place at")


class Receiver:
    """`remember=False`: only counts POSTs, and reads none. `delay_s`: before each answer."""

    def __init__(self, delay_s=0.0, remember=True):
        context = multiprocessing.get_context("spawn")
        self.pipe, far = context.Pipe()
        self.counts = context.Array("d", 2)  # unique callbacks, time of the last one
        self.process = context.Process(target=serve, args=(far, self.counts, delay_s, remember),
                                       daemon=True)
        self.process.start()
        self.url = f"http://127.0.0.1:{self.pipe.recv()}/callback"
        self.counts[1] = time.time()

    def unique(self):
        return int(self.counts[0])

    def quiet_s(self):
        return time.time() - self.counts[1]

    def tell(self, *words):
        self.pipe.send(words)
        return self.pipe.recv()

    def die(self):
        """Nobody listens any more; open connections are closed."""
        self.tell("die")

    def revive(self):
        self.tell("revive")

    def treat(self, recipient, status=200, delay_s=0.0):
        """From now on that person's callbacks are answered so."""
        self.tell("treat", recipient, status, delay_s)

    def result(self):
        """Every [`Arrival`], in order. Ends the receiver's life."""
        return [Arrival(*one) for one in self.tell("result")]

    def stop(self):
        # SIGTERM would wait for the thread that reads the pipe.
        self.process.kill()


def counts(arrivals):
    """How often each (id, status) came."""
    return collections.Counter((one.id, one.status) for one in arrivals)


def serve(pipe, shared, delay_s, remember):
    asyncio.run(Webhook(shared, delay_s, remember).live(pipe))


class Webhook:
    def __init__(self, shared, delay_s, remember):
        self.shared, self.delay_s, self.remember = shared, delay_s, remember
        self.arrivals, self.seen, self.treatment = [], set(), {}
        self.open, self.server, self.port = set(), None, 0

    async def live(self, pipe):
        await self.listen()
        pipe.send(self.port)
        loop = asyncio.get_running_loop()
        while True:
            word, *more = await loop.run_in_executor(None, pipe.recv)
            if word == "result":
                pipe.send([tuple(one) for one in self.arrivals])
                # The gateway's idle connections need no farewell.
                os._exit(0)
            if word == "die":
                self.server.close()
                for writer in list(self.open):
                    writer.close()
            elif word == "revive":
                await self.listen()
            else:
                recipient, status, delay_s = more
                self.treatment[recipient] = (status, delay_s)
            pipe.send("done")

    async def listen(self):
        self.server = await asyncio.start_server(self.connection, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def connection(self, reader, writer):
        self.open.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length, webhook_id = 0, ""
                for line in head.split(b"\r\n"):
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                    elif name.lower() == b"webhook-id":
                        webhook_id = value.strip().decode()
                body = await reader.readexactly(length)
                status = await self.answer(webhook_id, body)
                writer.write(b"HTTP/1.1 %d Said\r\nContent-Length: 0\r\n\r\n" % status)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def answer(self, webhook_id, body):
        if not self.remember:
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            self.shared[0] += 1
            self.shared[1] = time.time()
            return 200
        at = time.monotonic()
        statuses = json.loads(body).get("statuses", [])
        treated = [self.treatment.get(one["recipient_id"], (200, 0.0)) for one in statuses]
        status, delay_s = max(treated, default=(200, 0.0))
        if delay_s or self.delay_s:
            await asyncio.sleep(delay_s + self.delay_s)
        if status == 200:
            place = tuple(map(int, webhook_id.split(".")[1:]))
            for one in statuses:
                self.arrivals.append(
                    Arrival(one["id"], one["status"], one["recipient_id"], place, at))
                self.seen.add((one["id"], one["status"]))
            self.shared[0], self.shared[1] = len(self.seen), time.time()
        return status
