"""What Google's schema does not know of services and jobs: what Cloud Run refuses or ignores."""

from collections.abc import Iterator
from typing import Any

from podway.framework.error import ConfigError
from podway.launch.targets.cloud_run import target
from podway.launch.targets.kubernetes.target import DIGEST

_ANNOTATIONS = {
    "run.googleapis.com/ingress",
    "autoscaling.knative.dev/minScale",
    "autoscaling.knative.dev/maxScale",
    "run.googleapis.com/cpu-throttling",
    "run.googleapis.com/execution-environment",
    "run.googleapis.com/gpu-zonal-redundancy-disabled",
    "run.googleapis.com/startup-cpu-boost",
    "run.googleapis.com/sessionAffinity",
    "run.googleapis.com/network-interfaces",
    "run.googleapis.com/vpc-access-connector",
    "run.googleapis.com/vpc-access-egress",
}
"""Those that we use: a misspelt one is passed over in silence."""
_LIMITS = {"cpu", "memory", "nvidia.com/gpu"}
_PORT_NAMES = {"http1", "h2c"}
_SECRET = ("secret", "token", "password", "apikey", "api_key", "credential")
_NAME = 49


def problems(wanted: dict[str, Any]) -> list[str]:
    """What is wrong with a service or a job, a sentence each; [] where nothing is."""
    where = f"{wanted['kind']} {wanted['metadata']['name']}"
    found = list(_annotations(where, wanted))
    if wanted["kind"] == "Service":
        found += _service(where, wanted)
        return found + list(_task(where, wanted["spec"]["template"]["spec"]))
    spec = wanted["spec"]["template"]["spec"]["template"]["spec"]
    return found + list(_task(where, spec))


def _annotations(where: str, wanted: dict[str, Any]) -> Iterator[str]:
    for each in (wanted["metadata"], wanted["spec"]["template"]["metadata"]):
        for name in each.get("annotations", {}):
            if name not in _ANNOTATIONS:
                yield f"{where}: unknown annotation {name}"


def _service(where: str, wanted: dict[str, Any]) -> Iterator[str]:
    name, template = wanted["metadata"]["name"], wanted["spec"]["template"]
    spec, notes = template["spec"], template["metadata"]["annotations"]
    (container,) = spec["containers"]
    if len(name) > _NAME:
        yield f"{where}: the name has more than {_NAME} characters"
    if not template["metadata"]["name"].startswith(f"{name}-"):
        yield f"{where}: its revision's name does not begin with its own"
    shares = [each["percent"] for each in wanted["spec"]["traffic"]]
    if sum(shares) != 100:
        yield f"{where}: its shares of traffic add to {sum(shares)} percent, and not to 100"
    if not 1 <= spec["containerConcurrency"] <= target.CONCURRENCY:
        yield f"{where}: containerConcurrency must be 1 to {target.CONCURRENCY}"
    if int(notes["autoscaling.knative.dev/minScale"]) > int(
        notes["autoscaling.knative.dev/maxScale"]
    ):
        yield f"{where}: minScale is above maxScale"
    if len(container.get("ports", [])) != 1:
        yield f"{where}: it must have one port"
    for port in container.get("ports", []):
        if port["name"] not in _PORT_NAMES:
            yield f"{where}: a port is called {port['name']}; give http1, or h2c for gRPC"
        asked = next(
            (
                container["startupProbe"][key]
                for key in ("httpGet", "grpc")
                if key in container["startupProbe"]
            ),
            {},
        )
        if asked.get("port") != port["containerPort"]:
            yield f"{where}: its startupProbe asks another port than its own"
        if ("grpc" in container["startupProbe"]) != (port["name"] == "h2c"):
            yield f"{where}: gRPC goes with a port called h2c, REST with http1"
    probe = container["startupProbe"]
    seconds = probe["periodSeconds"] * probe["failureThreshold"]
    if seconds > target.STARTUP_SECONDS:
        yield f"{where}: its startupProbe may take {seconds} s, and Cloud Run waits for 240"
    if probe["timeoutSeconds"] > probe["periodSeconds"]:
        yield f"{where}: its startupProbe's timeoutSeconds is above its periodSeconds"
    gpu = "nvidia.com/gpu" in container["resources"]["limits"]
    if gpu != ("run.googleapis.com/accelerator" in spec.get("nodeSelector", {})):
        yield f"{where}: a GPU takes a limit nvidia.com/gpu and an accelerator, or neither"
    if gpu and notes.get("run.googleapis.com/cpu-throttling") != "false":
        yield f"{where}: with a GPU cpu-throttling must be false"


def _task(where: str, spec: dict[str, Any]) -> Iterator[str]:
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    for container in spec["containers"]:
        limits = container["resources"]["limits"]
        for name in sorted({*limits} - _LIMITS):
            yield f"{where}: there is no limit {name}"
        try:
            target.check_cpu(int(limits["cpu"]), limits["memory"])
        except ConfigError as error:
            yield f"{where}: {error}"
        if "nvidia.com/gpu" in limits and (
            int(limits["cpu"]) < target.GPU_CORES or target.gib(limits["memory"]) < target.GPU_GIB
        ):
            yield f"{where}: with a GPU go 4 cores and 16 GiB, or more"
        if not DIGEST.fullmatch(container["image"]):
            yield f"{where}: the image {container['image']} is not named by its digest"
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"{where}: no volume is called {mount['name']}"
        for variable in container.get("env", []):
            if "value" in variable and any(p in variable["name"].lower() for p in _SECRET):
                yield f"{where}: {variable['name']} looks like a secret, and anyone can read it"
