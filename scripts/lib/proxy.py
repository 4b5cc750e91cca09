"""A network that can be cut: forwards TCP connections, in a process of its own, and stops to on demand,
of everybody or of one process. What is cut stays open and silent; new connections are taken and carry
nothing. After healing everything that was held goes on, as after a lost cable.
"""
import asyncio
import multiprocessing
import pathlib
import re


def split(url):
    """(everything, host, port) of a database URL; [`joined`] puts another host and port there."""
    host, port = re.search(r"@([^/:]+):(\d+)/", url).groups()
    return url, host, int(port)


def joined(url, host, port):
    return re.sub(r"@[^/]+/", f"@{host}:{port}/", url)


class Proxy:
    """`routes`: {(host, port) to listen on: (name, (host, port) to forward to)}."""

    def __init__(self, routes):
        context = multiprocessing.get_context("spawn")
        self.pipe, far = context.Pipe()
        self.process = context.Process(target=serve, args=(far, routes), daemon=True)
        self.process.start()
        self.pipe.recv()

    def block(self, name, pid=None):
        """Of everybody's connections by that name, or of one process's."""
        self.pipe.send(("block", name, pid))
        self.pipe.recv()

    def heal(self, name, pid=None):
        self.pipe.send(("heal", name, pid))
        self.pipe.recv()

    def stop(self):
        self.process.terminate()


def serve(pipe, routes):
    asyncio.run(Forwarder().live(pipe, routes))


class Forwarder:
    def __init__(self):
        self.blocked = set()  # (name, pid or None)
        self.changed = asyncio.Condition()

    async def live(self, pipe, routes):
        for (host, port), (name, to) in routes.items():
            await asyncio.start_server(
                lambda reader, writer, name=name, to=to: self.connection(name, to, reader, writer),
                host, port)
        pipe.send("ready")
        loop = asyncio.get_running_loop()
        while True:
            word, name, pid = await loop.run_in_executor(None, pipe.recv)
            async with self.changed:
                if word == "block":
                    self.blocked.add((name, pid))
                else:
                    self.blocked.discard((name, pid))
                self.changed.notify_all()
            pipe.send("done")

    async def connection(self, name, to, reader, writer):
        ends = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        await self.open(name, ends)
        try:
            there, far = await asyncio.open_connection(*to)
        except OSError:
            writer.close()
            return
        ways = [asyncio.create_task(self.carry(name, ends, one, other))
                for one, other in ((reader, far), (there, writer))]
        await asyncio.wait(ways)
        for end in (writer, far):
            end.close()

    async def carry(self, name, ends, reader, writer):
        try:
            while data := await reader.read(65536):
                await self.open(name, ends)
                writer.write(data)
                await writer.drain()
            await self.open(name, ends)
            writer.write_eof()
        except OSError:
            writer.close()

    async def open(self, name, ends):
        """Until the way is open."""
        while self.closed(name, ends):
            async with self.changed:
                await self.changed.wait()

    def closed(self, name, ends):
        pids = {pid for blocked, pid in self.blocked if blocked == name}
        return any(pid is None or holds(pid, *ends) for pid in pids)


def holds(pid, near, far):
    """Whether the process has the connection from `near` to `far`."""
    def written(address):
        host, port = address
        parts = bytes(map(int, reversed(host.split("."))))
        return f"{parts.hex().upper()}:{port:04X}"

    wanted = [written(near), written(far)]
    lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    inodes = [fields[9] for fields in map(str.split, lines) if fields[1:3] == wanted]
    try:
        open_files = {str(fd.readlink()) for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
    except OSError:
        return False
    return any(f"socket:[{inode}]" in open_files for inode in inodes)
