"""A gateway of separate processes on free loopback ports, for the scripts beside this folder.

Only the standard library: the scripts must run where nothing is installed.
"""
import base64
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PASSWORD = "Scr1pts-secret!"
START_S = 30
SHARDS = 65

# A run that is stopped stops what it started: with SystemExit every `finally` runs.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def fail(text):
    sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {text}")


def binary():
    """The release build; built now if it is not there yet, or named by HELIOGRAPH_BINARY."""
    named = os.environ.get("HELIOGRAPH_BINARY")
    if named:
        return named
    subprocess.run(["cargo", "build", "--release", "--quiet", "--bin", "heliograph"],
                   cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return str(target / "release" / "heliograph")


def free_ports(count):
    """Ports that were free a moment ago, next to each other as a coreapp wants them."""
    for base in range(20000 + os.getpid() % 5000, 60000, count):
        held = []
        try:
            for port in range(base, base + count):
                held.append(socket.socket())
                held[-1].bind(("127.0.0.1", port))
            return list(range(base, base + count))
        except OSError:
            continue
        finally:
            for one in held:
                one.close()
    fail("no free ports")


class Gateway:
    """Sandbox, coreapps and webapps. `wrap` may put a command before each role's own."""

    def __init__(self, directory, database, wrap=lambda role, command: command, env=None,
                 batch_max=None, sandbox_options=(), coreapps=1, webapps=1):
        self.binary = binary()
        self.directory = pathlib.Path(directory)
        self.database = database
        self.wrap = wrap
        self.env = {**os.environ, **(env or {})}
        self.children = {}
        self.batch_max = batch_max
        self.sandbox_options = sandbox_options
        ports = free_ports(4 * coreapps + 2 * webapps + 2)
        # Of each: messages, contacts, control, health.
        self.cores = ports[0:4 * coreapps:4]
        self.core = self.cores[0]
        self.core_roles = ["coreapp"] if coreapps == 1 else [
            f"coreapp-{n}" for n in range(coreapps)]
        # Where others reach each, and how each reaches the database.
        self.core_hosts = {role: "127.0.0.1" for role in self.core_roles}
        self.databases = {role: database for role in self.core_roles}
        self.web_roles = ["webapp"] if webapps == 1 else [f"webapp-{n}" for n in range(webapps)]
        self.upstream, self.phones = ports[4 * coreapps:4 * coreapps + 2]
        # Of each: HTTP, HTTPS.
        webs = ports[4 * coreapps + 2:]
        self.webs = dict(zip(self.web_roles, zip(webs[::2], webs[1::2])))
        self.http, self.https = webs[:2]
        self.token = None

    # === processes ===

    def command(self, role):
        data = str(self.directory / role)
        loopback = "127.0.0.1"
        if role == "sandbox":
            command = [self.binary, role, "--listen", f"{loopback}:{self.upstream}",
                       "--http", f"{loopback}:{self.phones}", *self.sandbox_options]
        elif role in self.core_roles:
            n = self.core_roles.index(role)
            node = "core" if len(self.cores) == 1 else f"core-{n}"
            command = [self.binary, "coreapp", "--database", self.databases[role], "--listen", loopback,
                       "--port", str(self.cores[n]), "--node", node,
                       "--upstream", f"http://{loopback}:{self.upstream}"]
        else:
            http_port, https_port = self.webs[role]
            hosts = zip(self.core_hosts.values(), self.cores)
            command = [self.binary, "webapp", "--http", f"{loopback}:{http_port}", "--https",
                       f"{loopback}:{https_port}", "--coreapps",
                       ",".join(f"{host}:{core}" for host, core in hosts), "--data-dir", data]
        return command

    def start_role(self, role):
        env = dict(self.env)
        env.setdefault("HELIOGRAPH_LOG__LEVEL", "info")
        env["HELIOGRAPH_ACCOUNT__NUMBER"] = "15550100100"
        env["HELIOGRAPH_EGRESS__ALLOW"] = "loopback,http"
        if role in self.core_hosts:
            env["COREAPP_HOSTNAME"] = self.core_hosts[role]
        if self.batch_max:
            env["HELIOGRAPH_DATABASE__BATCH_MAX"] = str(self.batch_max)
        self.directory.mkdir(parents=True, exist_ok=True)
        log = open(self.directory / f"{role}.log", "ab")
        command = self.wrap(role, self.command(role))
        self.children[role] = subprocess.Popen(command, env=env, cwd=self.directory, stderr=log,
                                               stdout=log, stdin=subprocess.DEVNULL)
        return self.children[role]

    def start(self, coreapps=None, login=True):
        """All, or so many of the coreapps. `login=False`: nobody has logged in, the administrator's
        password is the first one."""
        for role in ("sandbox", *self.core_roles[:coreapps], *self.web_roles):
            self.start_role(role)
        deadline = time.monotonic() + START_S
        while not all(self.ready(role) for role in self.web_roles):
            self.check_alive()
            if time.monotonic() > deadline:
                fail(f"the gateway is not ready after {START_S} s; logs are in {self.directory}")
            time.sleep(0.05)
        if login:
            self.login()

    def shards(self):
        """How many shards each coreapp works with; 0 of one that does not answer."""
        owned = []
        for core in self.cores:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", core + 3, timeout=2)
                connection.request("GET", "/metrics")
                text = connection.getresponse().read().decode()
                connection.close()
            except (OSError, http.client.HTTPException):
                text = ""
            lines = [line for line in text.splitlines() if line.startswith("shards_owned ")]
            owned.append(int(float(lines[0].split(" ")[1])) if lines else 0)
        return owned

    def is_shared(self):
        """Every coreapp that runs has its share, and every shard an owner."""
        owned = dict(zip(self.core_roles, self.shards()))
        running = [owned[role] for role in self.core_roles if role in self.children]
        return all(running) and sum(running) == SHARDS

    def check_alive(self):
        for role, child in self.children.items():
            if child.poll() is not None:
                tail = (self.directory / f"{role}.log").read_text(errors="replace")[-2000:]
                fail(f"the {role} ended with status {child.returncode}:\n{tail}")

    def kill(self, role):
        """kill -9."""
        child = self.children.pop(role)
        child.send_signal(signal.SIGKILL)
        child.wait()

    def terminate(self, role, limit_s):
        """SIGTERM; gives the exit status, which must come within the limit."""
        child = self.children.pop(role)
        child.terminate()
        try:
            return child.wait(limit_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            fail(f"the {role} did not end within {limit_s} s of SIGTERM; logs in {self.directory}")

    def stop(self):
        children, self.children = list(self.children.values()), {}
        for child in children:
            if child.poll() is None:
                child.terminate()
        for child in children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    # === calls ===

    def ready(self, role=None):
        """Whether a webapp serves; the first one, unless it is named."""
        try:
            port = self.webs[role or self.web_roles[0]][0]
            return self.call("GET", "/readyz", anonymous=True, port=port)[0] == 200
        except OSError:
            return False

    def call(self, method, path, body=None, anonymous=False, port=None):
        """(status, parsed JSON or None) of one call to the webapp, or to another port."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.http, timeout=30)
        headers = {"Content-Type": "application/json"}
        if not anonymous and self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(data)
        except ValueError:
            return answer.status, None

    def login(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=30)
        for password, body in (("secret", {"new_password": PASSWORD}), (PASSWORD, {})):
            basic = base64.b64encode(f"admin:{password}".encode()).decode()
            connection.request("POST", "/v1/users/login", json.dumps(body),
                               {"Authorization": f"Basic {basic}",
                                "Content-Type": "application/json"})
            answer = connection.getresponse()
            data = answer.read()
            if answer.status == 200:
                self.token = json.loads(data)["users"][0]["token"]
                return
        fail(f"login is answered {answer.status}: {data[:300]}")

    def metrics(self):
        """The coreapp's, by name and labels as they stand in the text."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.core + 3}/metrics", timeout=30) as got:
            lines = got.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def coreapp_rss(self):
        """(now, at most so far) in KiB."""
        status = pathlib.Path(f"/proc/{self.children['coreapp'].pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return tuple(int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM"))

    def patch_settings(self, patch):
        status, answer = self.call("PATCH", "/v1/settings/application", patch)
        if status != 200:
            fail(f"PATCH /v1/settings/application is answered {status}: {answer}")

    def no_limits(self):
        self.patch_settings({"heliograph": {
            "quotas": {"messages_per_second": 0, "contacts_per_second": 0},
            "web": {"per_user": 0, "per_address": 0},
        }})

    def sandbox(self, path):
        status, answer = self.call("GET", path, anonymous=True, port=self.phones)
        if status != 200:
            fail(f"the sandbox answers {status} to {path}: {answer}")
        return answer

    def phone_messages(self):
        """Every message that reached a phone, in order: key, to, copies, decrypted, …"""
        after = 0
        while True:
            page = self.sandbox(f"/messages?after={after}&limit=10000")
            yield from page["messages"]
            if not page["messages"]:
                return
            after = page["next"]


def key_of(message_id):
    """The message key inside a public id, in hex: what the network knows the message by."""
    raw = base64.urlsafe_b64decode(message_id + "=" * (-len(message_id) % 4))
    return raw[4 + (raw[2] & 0x7f) + 1:].hex()


ENGINES = ("sqlite", "postgres", "mariadb")


class Database:
    """A new SQLite file, or a new database on a private server that `env` is given to."""

    def __init__(self, engine, directory, env=None):
        directory = pathlib.Path(directory)
        self.engine = engine
        self.server = None
        if engine == "sqlite":
            self.url = f"sqlite:{directory / 'heliograph.db'}"
            return
        self.server = directory / engine
        started = subprocess.run([ROOT / "scripts" / "db", engine, "start", self.server],
                                 check=True, env={**os.environ, **(env or {})},
                                 stdout=subprocess.PIPE, text=True)
        address = started.stdout.strip()
        self.url = address.rsplit("/", 1)[0] + "/heliograph"

    def pid(self):
        """Of the server's first process; None for SQLite."""
        if not self.server:
            return None
        named = self.server / "home"
        home = pathlib.Path(named.read_text().strip()) if named.exists() else self.server / "server"
        file = home / "pid" if self.engine == "mariadb" else home / "data" / "postmaster.pid"
        return int(file.read_text().splitlines()[0])

    def is_alive(self):
        """Whether the server's first process runs."""
        try:
            return pathlib.Path(f"/proc/{self.pid()}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False

    def pids(self):
        """The server's processes of this moment."""
        first = self.pid()
        children = pathlib.Path(f"/proc/{first}/task/{first}/children").read_text()
        return [first, *map(int, children.split())]

    def sql(self, text):
        """Runs statements on a server; gives what they print, a row a line."""
        if self.engine == "postgres":
            command, env = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", self.url], {}
        else:
            url = urllib.parse.urlsplit(self.url)
            command = ["mariadb", "--no-defaults", "--batch", "--skip-column-names",
                       f"--host={url.hostname}", f"--port={url.port}", f"--user={url.username}",
                       url.path.strip("/")]
            env = {"MYSQL_PWD": url.password}
        return subprocess.run(command, input=text, check=True, stdout=subprocess.PIPE, text=True,
                              env={**os.environ, **env}).stdout

    def crash(self):
        """The server dies as with its machine; its data stay."""
        subprocess.run([ROOT / "scripts" / "db", self.engine, "crash", self.server], check=True)

    def resume(self):
        """Back on its data, at its address."""
        subprocess.run([ROOT / "scripts" / "db", self.engine, "resume", self.server], check=True)

    def stop(self):
        if self.server:
            subprocess.run([ROOT / "scripts" / "db", self.engine, "stop", self.server],
                           check=False)
            self.server = None


def recipient(n):
    """Number n of many: an ordinary phone, none of the endings that behave oddly."""
    return f"49151{n // 9990:05d}{10 + n % 9990:04d}"


def percentile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * q))] if values else None
