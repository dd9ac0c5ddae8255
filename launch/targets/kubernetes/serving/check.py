"""What no schema knows of a deployed model's objects: that they fit together."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from podway.export.server import metrics
from podway.launch.targets.kubernetes import check
from podway.launch.targets.kubernetes.serving import watch

_KNOWN = {kind.name for kind in metrics.KINDS}
"""The metrics that our server has; their names are TensorFlow Serving's."""


def problems(objects: Sequence[dict[str, Any]]) -> list[str]:
    """What is wrong with a set of objects, a sentence each; [] where nothing is."""
    services = {each["metadata"]["name"]: each for each in objects if each["kind"] == "Service"}
    deployments = [each for each in objects if each["kind"] == "Deployment"]
    found = [*check.problems(objects), *_rules(objects)]
    for each in objects:
        where = f"{each['kind']} {each['metadata']['name']}"
        match each["kind"]:
            case "Deployment":
                found += _pod(where, each["spec"]["template"]["spec"], objects)
            case "Service":
                found += _ports(where, each, deployments)
            case "HorizontalPodAutoscaler":
                found += _scaling(where, each["spec"], objects)
            case "PodDisruptionBudget":
                found += _budget(where, each["spec"])
            case "HTTPRoute" | "GRPCRoute":
                found += _routes(where, each["spec"], services)
            case "HealthCheckPolicy" | "GCPBackendPolicy":
                name = each["spec"]["targetRef"]["name"]
                if name not in services:
                    found.append(f"{where}: there is no Service {name}")
                asked = each["spec"]["default"].get("config", {}).get("httpHealthCheck", {})
                if "/versions/" in asked.get("requestPath", ""):
                    found.append(f"{where}: pods of the version before would fail it, all at once")
            case "PodMonitoring":
                found += _selected(where, each["spec"]["selector"]["matchLabels"], deployments)
    return found


def _pod(where: str, spec: Mapping[str, Any], objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    (container,) = spec["containers"]
    ports = {port["name"] for port in container["ports"]}
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[kind]["httpGet"]
        if asked["port"] not in ports:
            yield f"{where}: its {kind} asks the port {asked['port']}, which it has not"
        if kind == "livenessProbe" and asked["path"].startswith("/v1/models"):
            yield f"{where}: its livenessProbe depends on the model, whose loss would restart all"
    startup = container["startupProbe"]
    if startup["periodSeconds"] * startup["failureThreshold"] < 60:
        yield f"{where}: its startupProbe leaves a model less than a minute to be read"
    sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    if sleep >= spec["terminationGracePeriodSeconds"]:
        yield f"{where}: its grace period ends before preStop has, which waits for {sleep} s"
    limit, request = (container["resources"][key]["memory"] for key in ("limits", "requests"))
    if limit != request:
        yield f"{where}: it asks for {request} of memory, and its limit is {limit}"
    yield from _version(where, spec, container, objects)


def _version(
    where: str,
    spec: Mapping[str, Any],
    container: Mapping[str, Any],
    objects: Sequence[dict[str, Any]],
) -> Iterator[str]:
    """The probes ask for the version that models.config names, and the flags for files there."""
    maps = {each["metadata"]["name"]: each for each in objects if each["kind"] == "ConfigMap"}
    named = {volume["name"]: volume.get("configMap", {}).get("name") for volume in spec["volumes"]}
    files = maps.get(named.get("files", ""), {"data": {}})["data"]
    version = container["readinessProbe"]["httpGet"]["path"].partition("/versions/")[2]
    wanted = f"versions: {version.partition('/')[0]} "
    if wanted not in files.get("models.config", wanted):
        yield f"{where}: its readinessProbe asks for another version than its models.config"
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    for flag in container["args"]:
        value = flag.partition("=")[2]
        folder, _, name = value.rpartition("/")
        if folder and folder == mounts.get("files") and name not in files:
            yield f"{where}: {flag}: its ConfigMap has no {name}"


def _ports(where: str, service: dict[str, Any], deployments: Sequence[Any]) -> Iterator[str]:
    for each in deployments:
        template = each["spec"]["template"]
        if not service["spec"]["selector"].items() <= template["metadata"]["labels"].items():
            continue
        ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in ports:
                yield f"{where}: no port of the pods is called {port['targetPort']}"


def _selected(where: str, labels: Mapping[str, str], deployments: Sequence[Any]) -> Iterator[str]:
    templates = [each["spec"]["template"]["metadata"]["labels"] for each in deployments]
    if not any(labels.items() <= each.items() for each in templates):
        yield f"{where}: its selector {labels} matches no pod"


def _scaling(
    where: str, spec: Mapping[str, Any], objects: Sequence[dict[str, Any]]
) -> Iterator[str]:
    if spec["minReplicas"] > spec["maxReplicas"]:
        yield f"{where}: minReplicas is above maxReplicas"
    recorded = {rule["record"] for rule in _all_rules(objects) if "record" in rule}
    for metric in spec["metrics"]:
        if metric["type"] == "Pods":
            name = metric["pods"]["metric"]["name"]
            if not {name, *name.split("|")} & recorded:
                yield f"{where}: no rule records the metric {name}, and no server has it as a rate"


def _budget(where: str, spec: Mapping[str, Any]) -> Iterator[str]:
    if "minAvailable" in spec or spec.get("maxUnavailable", 0) in (0, "0%"):
        yield f"{where}: it may keep a machine from being drained; give maxUnavailable 1"


def _routes(
    where: str, spec: Mapping[str, Any], services: Mapping[str, dict[str, Any]]
) -> Iterator[str]:
    for rule in spec["rules"]:
        weights = [backend["weight"] for backend in rule["backendRefs"] if "weight" in backend]
        if weights and sum(weights) != 100:
            yield f"{where}: its weights add to {sum(weights)}, and not to 100"
        for backend in rule["backendRefs"]:
            service = services.get(backend["name"])
            if service is None:
                yield f"{where}: there is no Service {backend['name']}"
            elif backend["port"] not in {port["port"] for port in service["spec"]["ports"]}:
                yield f"{where}: Service {backend['name']} has no port {backend['port']}"


def _all_rules(objects: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        rule
        for each in objects
        if each["kind"] in ("PrometheusRule", "Rules")
        for group in each["spec"]["groups"]
        for rule in group["rules"]
    ]


def _rules(objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Alerts and what is recorded name metrics that there are."""
    rules = _all_rules(objects)
    known = _KNOWN | {rule["record"] for rule in rules if "record" in rule}
    for rule in rules:
        for name in sorted(watch.metrics(rule["expr"]) - known):
            yield f"{rule.get('alert', rule.get('record'))}: there is no metric {name}"
