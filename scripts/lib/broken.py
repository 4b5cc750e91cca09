"""Copies of rendered manifests with one thing broken each: a check that does not notice is none."""
import copy

import manifests


def unnoticed(rendered, check):
    """Sentences about what was broken and is not complained of."""
    for name, action in BREAKS.items():
        one = manifests.Rendered(rendered.overlay, copy.deepcopy(rendered.objects))
        action(one)
        if not list(check(one)):
            yield f"the check does not notice: {name}"


def pod(rendered, name):
    return rendered.get("Deployment", name)["spec"]["template"]["spec"]


def container(rendered, name):
    return pod(rendered, name)["containers"][0]


def generated(rendered, kind, name):
    """An object whose name carries a hash."""
    return next(one for one in rendered.of_kind(kind)
                if manifests.unhashed(one["metadata"]["name"]) == name)


def setting(role, name, value):
    return lambda r: generated(r, "ConfigMap", role)["data"].update({name: value})


def without(kind, name):
    return lambda r: r.objects.remove(generated(r, kind, name))


BREAKS = {
    "a secret that is not there": without("Secret", "webapp-tls"),
    "a config map that is not there":
        lambda r: container(r, "webapp")["envFrom"][0]["configMapRef"].update(name="webap"),
    "a misspelt setting": setting("coreapp", "HELIOGRAPH_COREAPP__MASTERKEY", "x"),
    "a misspelt setting of logs": setting("webapp", "HELIOGRAPH_LOG__LEVL", "x"),
    "a name that nothing reads": setting("coreapp", "WA_DB_HOST", "x"),
    "a value that is none": setting("webapp", "HELIOGRAPH_WEBAPP__HTTPS", "nonsense"),
    "a file that is not mounted":
        setting("webapp", "WA_API_KEY_FILE", "/run/secrets/heliograph/nothing"),
    "a host without a service": setting("webapp", "WACORE_HOSTNAME", "wacore"),
    "a probe of a port that is not there":
        lambda r: container(r, "coreapp")["livenessProbe"]["httpGet"].update(port="helth"),
    "a missing probe": lambda r: container(r, "sandbox").pop("readinessProbe"),
    "a missing limit": lambda r: container(r, "webapp")["resources"].pop("limits"),
    "a service's port that is not there":
        lambda r: r.get("Service", "webapp")["spec"]["ports"][0].update(targetPort="http"),
    "a selector without pods": lambda r: r.get("PodDisruptionBudget", "webapp")["spec"]["selector"][
        "matchLabels"].update({"app.kubernetes.io/component": "web"}),
    "a policy for a port where nobody listens": lambda r: r.get("NetworkPolicy", "webapp")["spec"][
        "egress"][0]["ports"][0].update(port=6255),
    "a deployment that no policy is about":
        lambda r: [r.objects.remove(one) for one in r.of_kind("NetworkPolicy")],
    "root": lambda r: pod(r, "webapp")["securityContext"].pop("runAsNonRoot"),
    "a root file system that can be written":
        lambda r: container(r, "webapp")["securityContext"].update(readOnlyRootFilesystem=False),
    "a token of the API server":
        lambda r: pod(r, "coreapp").update(automountServiceAccountToken=True),
    "an autoscaler without a target": lambda r: r.get("HorizontalPodAutoscaler", "webapp")["spec"][
        "scaleTargetRef"].update(name="web"),
}
