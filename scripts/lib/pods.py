"""Pods of rendered manifests as processes on this machine: their own arguments, environment, files and
probes, each on a loopback address of its own.

What cannot be as in a cluster is in `Places`: addresses of services, mounts, the program's path.
"""
import http.client
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import threading
import time

import manifests

PROGRAM = "/usr/local/bin/heliograph"
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
# Kubernetes' own defaults of fields that a probe leaves out.
PERIOD_S, TIMEOUT_S, FAILURES = 10, 1, 3


class Places:
    """Where on this machine things of the cluster are: {text of a manifest: text here}."""

    def __init__(self, directory, binary, services, extra):
        self.directory = pathlib.Path(directory)
        self.binary = binary
        self.services = services  # host or host:port of a setting -> here
        self.extra = extra  # {role: {name: value}} on top of the manifest's environment

    def text(self, text, address, files, volumes):
        """A value or argument as it must read here."""
        if text in files:
            return str(files[text])
        if text in volumes:
            return str(volumes[text])
        for mount, place in volumes.items():
            text = text.replace(f":{mount}/", f":{place}/")
        if text == "any":
            return address
        for wild in ("0.0.0.0:", "127.0.0.1:"):
            if text.startswith(wild):
                return f"{address}:{text.removeprefix(wild)}"
        scheme, separator, rest = text.rpartition("://")
        host, colon, port = rest.partition(":")
        if host in self.services:
            return scheme + separator + self.services[host] + colon + port
        return text


class Pod:
    """One container of a deployment."""

    def __init__(self, rendered, name, number, address, places):
        deployment = rendered.get("Deployment", name)
        self.spec = deployment["spec"]["template"]["spec"]
        self.container = self.spec["containers"][0]
        self.role, self.address, self.places = name, address, places
        self.name = f"{name}-{number}"
        self.home = places.directory / self.name
        self.home.mkdir()
        self.ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        files = {}
        for path, content in rendered.files(self.spec, self.container).items():
            files[path] = self.home / path.strip("/").replace("/", "-")
            files[path].write_bytes(content)
        # A claim outlives pods, so it belongs to the role.
        volumes = {}
        for mount in self.container.get("volumeMounts", []):
            place = volumes[mount["mountPath"]] = places.directory / f"{name}-{mount['name']}"
            place.mkdir(exist_ok=True)

        def here(text):
            return places.text(text, address, files, volumes)

        fields = {"status.podIP": address, "metadata.name": self.name}
        env = rendered.environment(self.container, fields)
        self.env = {key: here(value) for key, value in env.items()}
        self.env.update(places.extra.get(name, {}))
        self.env["PATH"] = os.environ["PATH"]
        # The image's entry point: deploy/Dockerfile.
        self.command = [places.binary, name, *map(here, self.container.get("args", []))]
        self.passed = dict.fromkeys(PROBES, 0)
        self.failed = []
        self.is_ready = threading.Event()
        self.ending = threading.Event()
        self.process = None
        self.peak_kib = 0

    # === life ===

    def start(self):
        log = open(self.home / "log", "ab")
        self.process = subprocess.Popen(self.command, env=self.env, cwd=self.home, stdout=log,
                                        stderr=log, stdin=subprocess.DEVNULL)
        self.startup()
        self.watch("livenessProbe")
        self.watch("readinessProbe")
        if not self.is_ready.wait(60):
            raise RuntimeError(f"{self.name} is not ready after 60 s; see {self.home}/log")

    def startup(self):
        probe = self.container["startupProbe"]
        for _ in range(probe.get("failureThreshold", FAILURES)):
            if self.process.poll() is not None:
                tail = (self.home / "log").read_text(errors="replace")[-1500:]
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{tail}")
            if self.asked(probe):
                self.passed["startupProbe"] += 1
                return
            time.sleep(probe.get("periodSeconds", PERIOD_S))
        raise RuntimeError(f"{self.name}: the startup probe never passed; see {self.home}/log")

    def watch(self, kind):
        """Asks from now on, as a kubelet does."""
        probe = self.container[kind]

        def run():
            failures = 0
            while not self.ending.is_set():
                if self.asked(probe):
                    failures = 0
                    self.passed[kind] += 1
                    if kind == "readinessProbe":
                        self.is_ready.set()
                elif not self.ending.is_set():
                    failures += 1
                    if failures == probe.get("failureThreshold", FAILURES):
                        self.failed.append(kind)
                        if kind == "readinessProbe":
                            self.is_ready.clear()
                self.ending.wait(probe.get("periodSeconds", PERIOD_S))

        threading.Thread(target=run, daemon=True).start()

    def stop(self):
        """As a kubelet ends a pod: the hook, SIGTERM, and after the grace period SIGKILL."""
        self.ending.set()
        began = time.monotonic()
        hook = self.container.get("lifecycle", {}).get("preStop")
        if hook:
            subprocess.run(hook["exec"]["command"], check=True)
        self.peak()
        self.process.send_signal(signal.SIGTERM)
        left = self.spec["terminationGracePeriodSeconds"] - (time.monotonic() - began)
        try:
            self.process.wait(left)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"{self.name} did not end within its grace period") from None
        if self.process.returncode:
            raise RuntimeError(f"{self.name} ended with status {self.process.returncode}")

    def kill(self):
        self.ending.set()
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def peak(self):
        """Most resident memory so far, KiB."""
        try:
            status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
            self.peak_kib = int(status.split("VmHWM:")[1].split()[0])
        except (OSError, IndexError):
            pass
        return self.peak_kib

    # === probes ===

    def asked(self, probe):
        limit = probe.get("timeoutSeconds", TIMEOUT_S)
        try:
            if "exec" in probe:
                return self.executed(probe["exec"]["command"], limit)
            if "tcpSocket" in probe:
                port = self.ports[probe["tcpSocket"]["port"]]
                socket.create_connection((self.address, port), limit).close()
                return True
            return self.answered(probe["httpGet"], limit)
        except (OSError, http.client.HTTPException, subprocess.TimeoutExpired):
            return False

    def answered(self, get, limit):
        port = self.ports[get["port"]]
        if get.get("scheme") == "HTTPS":
            # A kubelet does not verify either.
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection(self.address, port, timeout=limit,
                                                     context=context)
        else:
            connection = http.client.HTTPConnection(self.address, port, timeout=limit)
        try:
            connection.request("GET", get["path"])
            return 200 <= connection.getresponse().status < 400
        finally:
            connection.close()

    def executed(self, command, limit):
        if command[:2] == [PROGRAM, "health"]:
            # Here the sandbox's loopback address is the pod's own.
            command = [self.places.binary, *command[1:], "--address", f"{self.address}:9080"]
        return subprocess.run(command, env=self.env, cwd=self.home, timeout=limit, check=False,
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0


class Deployment:
    """Its pods, and how one set of them is replaced by another: what a controller does."""

    def __init__(self, rendered, name, addresses, places):
        self.rendered, self.name, self.places = rendered, name, places
        self.spec = rendered.get("Deployment", name)["spec"]
        self.addresses = iter(addresses)
        self.fixed = None if self.rolls() else next(self.addresses)
        self.pods, self.gone, self.leaving = [], [], set()
        self.made = 0

    def rolls(self):
        return self.spec["strategy"]["type"] == "RollingUpdate"

    def replicas(self):
        """The autoscaler's least, or the deployment's own number."""
        for scaler in self.rendered.of_kind("HorizontalPodAutoscaler"):
            if scaler["spec"]["scaleTargetRef"]["name"] == self.name:
                return scaler["spec"]["minReplicas"]
        return self.spec["replicas"]

    def add(self):
        self.made += 1
        address = self.fixed or next(self.addresses)
        pod = Pod(self.rendered, self.name, self.made, address, self.places)
        self.pods.append(pod)
        pod.start()
        return pod

    def start(self):
        for _ in range(self.replicas()):
            self.add()

    def endpoints(self):
        """Addresses a Service sends new connections to."""
        return [pod for pod in list(self.pods) if pod.is_ready.is_set() and pod not in self.leaving]

    def restart(self, lag_s):
        """Every pod anew. `lag_s`: how long after its end began a pod still gets connections."""
        old = list(self.pods)
        if not self.rolls():
            for pod in old:
                self.end(pod, 0)
            self.start()
            return
        for pod in old:
            self.add()
            self.end(pod, lag_s)

    def end(self, pod, lag_s):
        timer = threading.Timer(lag_s, self.leaving.add, [pod])
        timer.start()
        pod.stop()
        timer.join()
        self.pods.remove(pod)
        self.gone.append(pod)

    def every(self):
        return self.pods + self.gone
