"""A webhook in a process of its own: answers 200 at once and counts each (message id, status)."""
import asyncio
import json
import multiprocessing
import os
import time


class Receiver:
    def __init__(self):
        context = multiprocessing.get_context("spawn")
        self.pipe, far = context.Pipe()
        self.counts = context.Array("d", 2)  # unique callbacks, time of the last one
        self.process = context.Process(target=serve, args=(far, self.counts), daemon=True)
        self.process.start()
        self.url = f"http://127.0.0.1:{self.pipe.recv()}/callback"
        self.counts[1] = time.time()

    def unique(self):
        return int(self.counts[0])

    def quiet_s(self):
        return time.time() - self.counts[1]

    def result(self):
        """How often each (id, status) came. Ends the receiver's life."""
        self.pipe.send("result")
        return self.pipe.recv()

    def stop(self):
        self.process.terminate()


def serve(pipe, counts):
    asyncio.run(listen(pipe, counts))


async def listen(pipe, counts):
    seen = {}

    async def connection(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = 0
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                body = await reader.readexactly(length)
                for status in json.loads(body).get("statuses", []):
                    key = (status["id"], status["status"])
                    seen[key] = seen.get(key, 0) + 1
                counts[0], counts[1] = len(seen), time.time()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    pipe.send(server.sockets[0].getsockname()[1])
    await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
    server.close()
    pipe.send(seen)
    # The gateway's idle connections need no farewell.
    os._exit(0)
