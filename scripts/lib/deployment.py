"""What schemas cannot see in the rendered manifests: that names which refer to each other exist, that
pods are as restricted as they claim, that the program knows every setting it is given.

Each check yields sentences, one for each thing that is wrong.
"""
import os
import pathlib
import re
import subprocess
import tempfile

import manifests

ROLES = ("coreapp", "webapp", "sandbox")
FIELDS = {"status.podIP": "127.0.0.1", "metadata.name": "pod-0"}


def all_checks(rendered, binary):
    for check in (references, selectors, ports, restricted, complete):
        yield from check(rendered)
    yield from settings(rendered, binary)


def references(rendered):
    """Config maps, secrets, claims, volumes and scale targets are there."""
    for deployment, pod, _ in manifests.pods(rendered):
        where = f"Deployment/{deployment['metadata']['name']}"
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        wanted = []
        for volume in volumes.values():
            if "secret" in volume:
                wanted.append(("Secret", volume["secret"]["secretName"]))
            if "persistentVolumeClaim" in volume:
                wanted.append(("PersistentVolumeClaim",
                               volume["persistentVolumeClaim"]["claimName"]))
        for container in pod["containers"]:
            wanted += [("ConfigMap", source["configMapRef"]["name"])
                       for source in container.get("envFrom", [])]
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            if mounted != set(volumes):
                yield f"{where}: volumes {sorted(volumes)}, but mounted are {sorted(mounted)}"
        for kind, name in wanted:
            if not rendered.get(kind, name):
                yield f"{where}: there is no {kind} {name}"
    for scaler in rendered.of_kind("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        if not rendered.get(target["kind"], target["name"]):
            yield f"HorizontalPodAutoscaler: there is no {target['kind']} {target['name']}"


def selectors(rendered):
    """Every selector finds a pod, and a Deployment's its own."""
    labelled = [labels for _, _, labels in manifests.pods(rendered)]
    for deployment, _, labels in manifests.pods(rendered):
        if not manifests.matches(deployment["spec"]["selector"]["matchLabels"], labels):
            yield f"Deployment/{deployment['metadata']['name']}: selects other pods than its own"
    for place, selector in all_selectors(rendered.objects):
        if not any(manifests.matches(selector, labels) for labels in labelled):
            yield f"{place}: no pod has the labels {selector}"


def all_selectors(objects):
    for one in objects:
        place = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] == "Service":
            yield place, one["spec"]["selector"]
        elif one["kind"] == "PodDisruptionBudget":
            yield place, one["spec"]["selector"]["matchLabels"]
        elif one["kind"] == "NetworkPolicy":
            yield place, one["spec"]["podSelector"].get("matchLabels", {})
            for peer in peers(one["spec"]):
                if "podSelector" in peer and "namespaceSelector" not in peer:
                    yield place, peer["podSelector"]["matchLabels"]
        elif one["kind"] == "Deployment":
            pod = one["spec"]["template"]["spec"]
            for spread in pod.get("topologySpreadConstraints", []):
                yield place, spread["labelSelector"]["matchLabels"]


def peers(policy):
    for rule in policy.get("ingress", []):
        yield from rule.get("from", [])
    for rule in policy.get("egress", []):
        yield from rule.get("to", [])


def ports(rendered):
    """Probes, services, policies and addresses name ports that a container listens on."""
    listening = []
    for deployment, pod, labels in manifests.pods(rendered):
        named = {port["name"]: port["containerPort"]
                 for container in pod["containers"] for port in container["ports"]}
        listening.append((labels, named))
        for container in pod["containers"]:
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                probe = container.get(kind, {})
                asked = probe.get("httpGet", probe.get("tcpSocket", {})).get("port")
                if asked is not None and asked not in named:
                    yield f"Deployment/{deployment['metadata']['name']}: {kind} asks port {asked}"

    def of(selector):
        return [named for labels, named in listening if manifests.matches(selector, labels)]

    for service in rendered.of_kind("Service"):
        for port in service["spec"]["ports"]:
            if not all(port["targetPort"] in named for named in of(service["spec"]["selector"])):
                yield f"Service/{service['metadata']['name']}: no port {port['targetPort']}"
    for policy in rendered.of_kind("NetworkPolicy"):
        spec = policy["spec"]
        own = spec["podSelector"].get("matchLabels", {})
        rules = [(own, rule["ports"]) for rule in spec.get("ingress", [])]
        rules += [(peer["podSelector"]["matchLabels"], rule["ports"])
                  for rule in spec.get("egress", []) for peer in rule.get("to", [])
                  if "podSelector" in peer]
        for selector, allowed in rules:
            for port in allowed:
                if not any(port["port"] in named.values() for named in of(selector)):
                    yield (f"NetworkPolicy/{policy['metadata']['name']}: nobody listens on "
                           f"{port['port']}")


def restricted(rendered):
    """The restricted Pod Security Standard, and a root file system that nobody writes to."""
    for deployment, pod, _ in manifests.pods(rendered):
        where = f"Deployment/{deployment['metadata']['name']}"
        security = pod["securityContext"]
        if not (security.get("runAsNonRoot") is True and security.get("runAsUser", 0) > 0
                and security.get("seccompProfile") == {"type": "RuntimeDefault"}):
            yield f"{where}: runs as root or without a seccomp profile"
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{where}: gets a token of the API server"
        for container in pod["containers"]:
            if container.get("securityContext") != {
                    "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]}}:
                yield f"{where}: the container's securityContext is not the restricted one"


def complete(rendered):
    """Three probes, requests and limits on every container; one namespace; a budget each."""
    for deployment, pod, labels in manifests.pods(rendered):
        where = f"Deployment/{deployment['metadata']['name']}"
        for container in pod["containers"]:
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                if kind not in container:
                    yield f"{where}: no {kind}"
            for bound in ("requests", "limits"):
                if set(container["resources"].get(bound, {})) != {"cpu", "memory"}:
                    yield f"{where}: resources.{bound} must name cpu and memory"
        covered = any(manifests.matches(policy["spec"]["podSelector"].get("matchLabels", {"": ""}),
                                        labels) for policy in rendered.of_kind("NetworkPolicy"))
        if not covered:
            yield f"{where}: no network policy is about it"
    for one in rendered.objects:
        if one["kind"] != "Namespace" and one["metadata"].get("namespace") != "heliograph":
            yield f"{one['kind']}/{one['metadata']['name']}: in another namespace"


def settings(rendered, binary):
    """The program knows every setting, files that settings name are mounted, hosts are services."""
    for deployment, pod, _ in manifests.pods(rendered):
        where = f"Deployment/{deployment['metadata']['name']}"
        for container in pod["containers"]:
            env = rendered.environment(container, FIELDS)
            yield from (f"{where}: {text}" for text in
                        environment(env, rendered.files(pod, container), binary))
            for host, port in hosts(env):
                service = rendered.get("Service", host)
                if not service or port not in [p["port"] for p in service["spec"]["ports"]]:
                    yield f"{where}: there is no Service {host} with port {port}"


def hosts(env):
    """(service, port) of the settings that name one."""
    for host in filter(None, env.get("WACORE_HOSTNAME", "").split(",")):
        yield host, 6250
    if "HELIOGRAPH_UPSTREAM__URL" in env:
        host, port = env["HELIOGRAPH_UPSTREAM__URL"].removeprefix("http://").split(":")
        yield host, int(port)


def environment(env, files, binary):
    """What the program has against this environment, with `files` where it names them."""
    known = known_names()
    for name in env:
        if not name.startswith("HELIOGRAPH_") and name.removesuffix("_FILE") not in known:
            yield f"nothing reads {name}"
    with tempfile.TemporaryDirectory() as directory:
        given = {}
        for name, value in env.items():
            if value.startswith(manifests.SECRETS):
                if value not in files:
                    yield f"{name} names {value}, which is not mounted"
                    continue
                path = pathlib.Path(directory) / value.strip("/").replace("/", "-")
                path.write_bytes(files[value])
                value = str(path)
            given[name] = value
        # A role leaves other roles' sections alone: asking each finds errors in all of them. Its
        # own process is not there, so the answer is 1 either way; a refused setting says so.
        for role in ROLES:
            command = [binary, "health", role]
            said = subprocess.run(command, check=False, capture_output=True, text=True,
                                  cwd=directory, env={**given, "PATH": os.environ["PATH"]}).stderr
            refused = re.search(r"the setting .*|failed to read .*|unrecognized .*", said)
            if refused:
                yield refused.group()
                break


def known_names():
    """The original's names that the program reads."""
    source = manifests.ROOT / "crates" / "telemetry" / "src" / "config" / "wa.rs"
    names = re.findall(r'(?:text\(|variable: )"([A-Z_]+)"', source.read_text())
    if len(names) < 10:
        raise SystemExit(f"no names are recognised in {source}")
    return set(names)
