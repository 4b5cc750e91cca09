"""Messages on kept connections, with what became of each: at a fixed rate, or as many as are taken."""
import asyncio
import collections
import json
import multiprocessing
import time

import gateway as gw

REFUSED_S = 0.05  # how long a client of a crowd waits after a refusal


class Connection:
    """One kept connection to the REST API."""

    def __init__(self, port, token):
        self.port, self.token = port, token
        self.reader = self.writer = None

    async def post(self, path, body, idempotency_key=None):
        """(status, headers by lower-case name, parsed JSON or None). After an `OSError` or
        `IncompleteReadError` the next call connects anew."""
        named = f"Idempotency-Key: {idempotency_key}\r\n" if idempotency_key else ""
        try:
            if self.writer and self.reader.at_eof():
                # The other side has left meanwhile.
                self.close()
            if self.writer is None:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
            data = json.dumps(body).encode()
            self.writer.write((f"POST {path} HTTP/1.1\r\nHost: gateway\r\n"
                               f"Authorization: Bearer {self.token}\r\n"
                               f"Content-Type: application/json\r\n{named}"
                               f"Content-Length: {len(data)}\r\n\r\n").encode() + data)
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {}
            for line in lines[1:]:
                name, _, value = line.partition(":")
                headers[name.strip().lower()] = value.strip()
            answer = await self.reader.readexactly(int(headers.get("content-length", "0")))
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            raise
        try:
            return int(lines[0].split(" ")[1]), headers, json.loads(answer)
        except ValueError:
            return int(lines[0].split(" ")[1]), headers, None

    def close(self):
        if self.writer:
            self.writer.close()
        self.reader = self.writer = None


def code(body):
    """The catalogue's number of an answer that refuses."""
    try:
        return body["errors"][0]["code"]
    except (TypeError, LookupError):
        return None


def text(to, n):
    return {"to": to, "type": "text", "text": {"body": f"Message {n}"}}


async def paced(gateway, rate, seconds, recipients, connections=16):
    """Messages to so many recipients at a fixed rate: (latencies in ms, counted from when each should have
    left; answers that were not 201)."""
    latencies, errors = [], 0
    begin = time.monotonic() + 0.2

    async def send(n):
        nonlocal errors
        connection = Connection(gateway.http, gateway.token)
        while n < rate * seconds:
            due = begin + n / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            message = text(gw.recipient(n % recipients), n)
            status, _, _ = await connection.post("/v1/messages", message)
            latencies.append(1e3 * (time.monotonic() - due))
            errors += status != 201
            n += connections
        connection.close()

    await asyncio.gather(*(send(n) for n in range(connections)))
    return latencies, errors


class Load:
    """Message n goes to `recipient(n)`, is due at n / `rate` (0: as soon as a connection is free),
    and waits for one of `connections`."""

    def __init__(self, gateway, rate, recipient, connections=16):
        self.gateway, self.rate, self.recipient = gateway, rate, recipient
        self.connections = connections
        self.accepted = {}  # id: (when it was sent, when its 201 came)
        self.errors = collections.Counter()
        self.sent = 0
        self.stop = False

    async def run(self, count=None):
        """Until `stop`, or until `count` messages were sent."""
        start = time.monotonic()
        await asyncio.gather(*(self.connection(start, count) for _ in range(self.connections)))

    async def connection(self, start, count):
        connection = Connection(self.gateway.http, self.gateway.token)
        while not self.stop and (count is None or self.sent < count):
            n, self.sent = self.sent, self.sent + 1
            if self.rate:
                await asyncio.sleep(max(0.0, start + n / self.rate - time.monotonic()))
            began = time.monotonic()
            try:
                status, _, body = await connection.post("/v1/messages", text(self.recipient(n), n))
            except (OSError, asyncio.IncompleteReadError) as error:
                self.errors[f"connection: {type(error).__name__}"] += 1
                continue
            if status == 201:
                self.accepted[body["messages"][0]["id"]] = (began, time.monotonic())
            else:
                self.errors[f"{status}/{code(body)}"] += 1
        connection.close()


class Crowd:
    """Processes of many clients that send as fast as they are let, and wait a moment after a refusal.
    From `start` to `stop`, which gives the accepted ids and the refusals by status and code."""

    def __init__(self, gateway, recipients, processes=2, clients=64):
        self.context = multiprocessing.get_context("spawn")
        self.end = self.context.Event()
        self.answers = self.context.SimpleQueue()
        self.children = [
            self.context.Process(target=crowd, daemon=True, args=(
                gateway.http, gateway.token, recipients, clients, part, self.end, self.answers))
            for part in range(processes)]

    def start(self):
        for child in self.children:
            child.start()

    def stop(self):
        self.end.set()
        accepted, refused = [], collections.Counter()
        for _ in self.children:
            ids, answers = self.answers.get()
            accepted += ids
            refused += answers
        for child in self.children:
            child.join()
        return accepted, dict(refused)


def crowd(port, token, recipients, clients, part, end, answers):
    accepted, refused = [], collections.Counter()

    async def client(number):
        connection, n = Connection(port, token), number
        while not end.is_set():
            n += clients
            try:
                status, _, body = await connection.post(
                    "/v1/messages", text(gw.recipient(n * 2 % recipients + part % 2), n))
            except (OSError, asyncio.IncompleteReadError) as error:
                refused[f"connection: {type(error).__name__}"] += 1
                continue
            if status == 201:
                accepted.append(body["messages"][0]["id"])
            else:
                refused[f"{status}/{code(body)}"] += 1
                await asyncio.sleep(REFUSED_S)
        connection.close()

    async def run():
        await asyncio.gather(*(client(number) for number in range(clients)))

    asyncio.run(run())
    answers.put((accepted, refused))
