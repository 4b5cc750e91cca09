"""The Kubernetes manifests under deploy/, rendered, and what one object says of another.

Needs PyYAML.
"""
import base64
import pathlib
import re
import shutil
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
OVERLAYS = ("single-node", "postgres", "mysql")
SECRETS = "/run/secrets/"


class Rendered:
    """The objects of one overlay."""

    def __init__(self, overlay, objects):
        self.overlay = overlay
        self.objects = objects

    def of_kind(self, kind):
        return [one for one in self.objects if one["kind"] == kind]

    def get(self, kind, name):
        found = [one for one in self.of_kind(kind) if one["metadata"]["name"] == name]
        return found[0] if found else None

    def content(self):
        """What counts of all objects, however a version of kubectl writes it down."""
        found = {}
        for one in map(unhashed, self.objects):
            one["metadata"] = {key: value for key, value in one["metadata"].items() if value}
            if one["kind"] == "Secret":
                one["data"] = {key: base64.b64decode(value) for key, value in one["data"].items()}
            found[one["kind"], one["metadata"]["name"]] = one
        return found

    def files(self, pod, container):
        """{path in the container: content} of its mounted secrets and config maps."""
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        found = {}
        for mount in container.get("volumeMounts", []):
            volume = volumes[mount["name"]]
            if "secret" in volume:
                secret = self.get("Secret", volume["secret"]["secretName"])
                for key, value in (secret or {"data": {}})["data"].items():
                    found[f"{mount['mountPath']}/{key}"] = base64.b64decode(value)
        return found

    def environment(self, container, fields):
        """{name: value}; `fields` are the values of field references, by field path."""
        values = {}
        for source in container.get("envFrom", []):
            found = self.get("ConfigMap", source["configMapRef"]["name"])
            values.update(found["data"] if found else {})
        for one in container.get("env", []):
            value = one.get("value")
            if value is None:
                value = fields[one["valueFrom"]["fieldRef"]["fieldPath"]]
            values[one["name"]] = value
        return values


def prepare(directory, authority=None):
    """A copy of the manifests with secrets made as the manual says; gives its folder of overlays."""
    copy = pathlib.Path(directory) / "kustomize"
    ignored = shutil.ignore_patterns("secrets")
    shutil.copytree(ROOT / "deploy" / "kustomize", copy, ignore=ignored)
    for overlay in OVERLAYS:
        secrets = copy / "overlays" / overlay / "secrets"
        made = [ROOT / "deploy" / "make-secrets", secrets, "localhost"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
        shutil.copy(authority or secrets / "tls.crt", secrets / "database-ca.pem")
    return copy / "overlays"


def render(kubectl, overlays, overlay):
    """What `kubectl apply -k` would send."""
    done = subprocess.run([kubectl, "kustomize", overlays / overlay], check=False,
                          capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{kubectl} kustomize {overlay}: {done.stderr.strip()}")
    return Rendered(overlay, list(yaml.load_all(done.stdout, yaml.CSafeLoader)))


def unhashed(value):
    """The same without the suffixes that a generator's names carry: each version hashes its way."""
    if isinstance(value, dict):
        return {key: unhashed(one) for key, one in value.items()}
    if isinstance(value, list):
        return [unhashed(one) for one in value]
    if isinstance(value, str):
        return re.sub(r"^(coreapp|webapp|webapp-tls)-[a-z0-9]{10}$", r"\1", value)
    return value


def pods(rendered):
    """(deployment, pod specification, labels) of each."""
    for one in rendered.of_kind("Deployment"):
        template = one["spec"]["template"]
        yield one, template["spec"], template["metadata"]["labels"]


def matches(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())
