"""That rules and dashboard ask for metrics which a running gateway shows."""
import json
import pathlib
import re
import tempfile
import time
import urllib.request

import gateway as gw
import manifests
import webhook
import yaml

DEPLOY = manifests.ROOT / "deploy"
API_KEY = "deploy-check-key"
# Of Prometheus itself.
BUILT_IN = {"up"}
# PromQL's words that look like names of metrics.
WORDS = re.compile(r"\b(?:by|on|without|ignoring|and|or|unless|offset|bool|group_left|group_right)\b")
# A labelled metric without a sample yet is not shown; these only come in trouble.
ONLY_IN_TROUBLE = {"sessions_refused"}


def expressions():
    """(where, expression) of every rule and panel."""
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield f"rules.yaml, {rule['alert']}", rule["expr"]
    for file in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", []):
                yield f"{file.name}, {panel['title']}", target["expr"]


def names(expression):
    """Metrics an expression asks for."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    bare = re.sub(r"\b(?:by|without|on|ignoring)\s*\([^)]*\)", "", bare)
    bare = WORDS.sub("", bare)
    return set(re.findall(r"\b([a-z_][a-z0-9_]*)\b(?!\s*\()", bare))


def shown():
    """{metric: labels} of a gateway that has sent messages, checked contacts, called a webhook."""
    with tempfile.TemporaryDirectory(prefix="heliograph-") as directory:
        receiver = webhook.Receiver()
        database = gw.Database("sqlite", directory)
        gateway = gw.Gateway(directory, database.url, env={"WA_API_KEY": API_KEY})
        try:
            gateway.start()
            gateway.patch_settings({"webhooks": {"url": receiver.url}})
            for number in range(3):
                body = {"to": gw.recipient(number), "type": "text", "text": {"body": "x"}}
                gateway.call("POST", "/v1/messages", body)
            gateway.call("POST", "/v1/contacts", {"contacts": ["+" + gw.recipient(9)],
                                                  "blocking": "wait"})
            deadline = time.monotonic() + 30
            while receiver.unique() < 3 and time.monotonic() < deadline:
                time.sleep(0.05)
            found = {}
            for address, key in ((f"http://127.0.0.1:{gateway.core + 3}/metrics", None),
                                 (f"http://127.0.0.1:{gateway.http}/metrics?format=prometheus",
                                  API_KEY)):
                request = urllib.request.Request(address)
                if key:
                    request.add_header("Authorization", f"Apikey {key}")
                with urllib.request.urlopen(request, timeout=10) as answer:
                    read(answer.read().decode(), found)
            return found
        finally:
            gateway.stop()
            receiver.stop()


def read(text, found):
    for line in text.splitlines():
        sample = re.match(r"([a-z_][a-z0-9_]*)(?:\{(.*)\})? ", line)
        if sample:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', sample.group(2) or ""))
            for label, value in labels.items():
                found.setdefault(sample.group(1), {}).setdefault(label, set()).add(value)
            found.setdefault(sample.group(1), {})


def check(found):
    """What rules and panels ask for in vain."""
    registered = "\n".join(path.read_text() for path in
                           pathlib.Path(manifests.ROOT / "crates").glob("*/src/**/*.rs"))
    used = 0
    for where, expression in expressions():
        for name in names(expression) - BUILT_IN:
            used += 1
            if name in found:
                continue
            if name not in ONLY_IN_TROUBLE or f'"{name}"' not in registered:
                yield f"{where}: no process shows {name}"
        for name, labels in re.findall(r"\b([a-z_][a-z0-9_]*)\{([^}]*)\}", expression):
            for label, operator, value in re.findall(r'(\w+)(=~|=|!=|!~)"([^"]*)"', labels):
                if name in BUILT_IN or name not in found:
                    continue
                if label not in found[name]:
                    yield f"{where}: {name} has no label {label}"
                elif label == "method" and operator == "=" and value not in found[name][label]:
                    yield f"{where}: no {name} has {label}={value}"
    if not used:
        yield "no metric is named in rules and dashboards: the check sees nothing"
