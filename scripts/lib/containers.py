"""What is checked of deploy/compose.yaml and deploy/Dockerfile, beyond what their own tools check."""
import json
import pathlib
import re
import shutil
import subprocess

import deployment
import manifests

DEPLOY = manifests.ROOT / "deploy"


def resolved(program, directory):
    """The compose file as Compose itself reads it, with secrets made as the manual says."""
    copy = pathlib.Path(directory) / "compose"
    shutil.copytree(DEPLOY, copy, ignore=shutil.ignore_patterns("secrets"))
    subprocess.run([DEPLOY / "make-secrets", copy / "secrets"], check=True,
                   stdout=subprocess.DEVNULL)
    done = subprocess.run([program, "--file", copy / "compose.yaml", "--profile", "monitoring",
                           "config", "--format", "json"], check=False, capture_output=True,
                          text=True)
    if done.returncode:
        raise SystemExit(f"deploy/compose.yaml: {done.stderr.strip()}")
    return json.loads(done.stdout)


def check(stack, binary):
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", (DEPLOY / "Dockerfile").read_text(), re.M))
    for name, service in stack["services"].items():
        where = f"compose.yaml, {name}"
        for key, wanted in (("read_only", True), ("cap_drop", ["ALL"]),
                            ("security_opt", ["no-new-privileges:true"])):
            if service.get(key) != wanted:
                yield f"{where}: {key} is not {wanted}"
        if set(service["deploy"]["resources"]["limits"]) != {"cpus", "memory", "pids"}:
            yield f"{where}: deploy.resources.limits must name cpus, memory and pids"
        if "profiles" not in service and "healthcheck" not in service:
            yield f"{where}: no healthcheck"
        target = service.get("build", {}).get("target")
        if target and target not in stages:
            yield f"{where}: deploy/Dockerfile has no target {target}"
        if not target and service.get("user", "0").startswith("0"):
            yield f"{where}: runs as root"
        for source in [service.get("environment", {})] if target else []:
            files = {f"/run/secrets/{secret['source']}":
                     pathlib.Path(stack["secrets"][secret["source"]]["file"]).read_bytes()
                     for secret in service.get("secrets", [])}
            yield from (f"{where}: {text}" for text in
                        deployment.environment(source, files, binary))
            for host, _ in deployment.hosts(source):
                if host not in stack["services"]:
                    yield f"{where}: there is no service {host}"
                elif not set(service["networks"]) & set(stack["services"][host]["networks"]):
                    yield f"{where}: shares no network with {host}"
