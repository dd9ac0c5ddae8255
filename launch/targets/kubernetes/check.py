"""What no schema knows of our objects: that they fit together."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from podway.launch.targets import names
from podway.launch.targets.kubernetes import pods
from podway.launch.targets.kubernetes.target import DIGEST

_ANNOTATIONS = (
    "podway.dev/",
    "iam.gke.io/gcp-service-account",
    "gke-gcsfuse/",
    "alpha.jobset.sigs.k8s.io/exclusive-topology",
)
_SECRET = ("secret", "token", "password", "apikey", "api_key", "credential")
_POD_NUMBERS = len("-9999-9999-abcde")


def problems(objects: Sequence[dict[str, Any]]) -> list[str]:
    """What is wrong with a set of objects, a sentence each; [] where nothing is."""
    found = [*_of_all(objects), *_selectors(objects), *_config_maps(objects)]
    for each in objects:
        found += _of_job_set(each) if each["kind"] == "JobSet" else []
    return found


def templates(each: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The pod templates of an object, with where they are."""
    where, spec = f"{each['kind']} {each['metadata']['name']}", each.get("spec", {})
    match each["kind"]:
        case "JobSet":
            for job in spec["replicatedJobs"]:
                yield f"{where}, {job['name']}", job["template"]["spec"]["template"]
        case "CronJob":
            yield where, spec["jobTemplate"]["spec"]["template"]
        case "Job" | "Deployment" | "StatefulSet":
            yield where, spec["template"]


def _of_all(objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    for each in objects:
        name = each["metadata"]["name"]
        where = f"{each['kind']} {name}"
        if not names.is_legal(name):
            yield f"{where}: the name is no label of DNS"
        for key, value in each["metadata"].get("labels", {}).items():
            if len(value) > names.LABEL:
                yield f"{where}: the label {key} is longer than {names.LABEL}"
        for key in each["metadata"].get("annotations", {}):
            if not key.startswith(_ANNOTATIONS):
                yield f"{where}: unknown annotation {key}"
        for place, template in templates(each):
            yield from _of_pod(place, template["spec"])


def _of_pod(where: str, spec: dict[str, Any]) -> Iterator[str]:
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        if not DIGEST.fullmatch(container["image"]):
            yield f"{where}: the image {container['image']} is not named by its digest"
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"{where}: no volume is called {mount['name']}"
        for variable in container.get("env", []):
            if any(part in variable["name"].lower() for part in _SECRET) and "value" in variable:
                yield f"{where}: {variable['name']} looks like a secret, and anyone can read it"


def _of_job_set(each: dict[str, Any]) -> Iterator[str]:
    where, spec = f"JobSet {each['metadata']['name']}", each["spec"]
    jobs = {job["name"]: job for job in spec["replicatedJobs"]}
    if spec["failurePolicy"]["maxRestarts"] < 1:
        yield f"{where}: maxRestarts is below 1, so that a lost machine ends it"
    for name, job in jobs.items():
        longest = len(each["metadata"]["name"]) + len(name) + 1 + _POD_NUMBERS
        if longest > names.LABEL:
            yield f"{where}: names of the pods of {name} would have {longest} characters"
        for dependency in job.get("dependsOn", []):
            if dependency["name"] not in jobs:
                yield f"{where}: {name} depends on {dependency['name']}, which is not there"
        template = job["template"]["spec"]["template"]["spec"]
        containers = {container["name"] for container in template["containers"]}
        if template.get("restartPolicy") != "Never":
            yield f"{where}: restartPolicy of {name} must be Never, for its podFailurePolicy"
        for rule in job["template"]["spec"].get("podFailurePolicy", {}).get("rules", []):
            named = rule.get("onExitCodes", {}).get("containerName")
            if named is not None and named not in containers:
                yield f"{where}: a rule of {name} is about {named}, which is no container of it"
        yield from _chips(where, job, template)


def _chips(where: str, job: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    """Hosts × chips of a host are the chips of the topology."""
    shape = pod.get("nodeSelector", {}).get("cloud.google.com/gke-tpu-topology")
    if shape is None:
        return
    wanted = math.prod(map(int, shape.split("x")))
    limits = pod["containers"][0]["resources"]["limits"]
    chips = job["template"]["spec"]["parallelism"] * int(limits["google.com/tpu"])
    if chips != wanted:
        yield f"{where}: {job['name']} has {chips} chips a slice, and {shape} has {wanted}"


def _selectors(objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Services, budgets and autoscalers name pods and objects that there are."""
    pods_labels = [
        template["metadata"].get("labels", {})
        for each in objects
        for _, template in templates(each)
    ]
    named = {(each["kind"], each["metadata"]["name"]) for each in objects}
    for each in objects:
        where, spec = f"{each['kind']} {each['metadata']['name']}", each.get("spec", {})
        selector = spec.get("selector", {}) if each["kind"] == "Service" else None
        if each["kind"] in ("PodDisruptionBudget", "NetworkPolicy", "PodMonitor"):
            selector = (spec.get("selector") or spec.get("podSelector"))["matchLabels"]
        if selector is not None and not any(
            selector.items() <= labels.items() for labels in pods_labels
        ):
            yield f"{where}: its selector {selector} matches no pod"
        if each["kind"] == "HorizontalPodAutoscaler":
            goal = spec["scaleTargetRef"]
            if (goal["kind"], goal["name"]) not in named:
                yield f"{where}: it scales {goal['kind']} {goal['name']}, which is not there"


def _config_maps(objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Volumes of ConfigMaps name keys that these have."""
    maps = {
        each["metadata"]["name"]: {*each.get("data", {}), *each.get("binaryData", {})}
        for each in objects
        if each["kind"] == "ConfigMap"
    }
    for each in objects:
        for where, template in templates(each):
            for volume in template["spec"].get("volumes", []):
                source = volume.get("configMap")
                if source is None:
                    continue
                wanted = {item["key"] for item in source.get("items", [])}
                if source["name"] not in maps:
                    yield f"{where}: there is no ConfigMap {source['name']}"
                elif not wanted <= maps[source["name"]]:
                    yield f"{where}: ConfigMap {source['name']} lacks {wanted}"


def images_missing(objects: Sequence[dict[str, Any]]) -> bool:
    """Whether some image is the placeholder of one that was not given."""
    return any(
        container["image"].startswith(pods.NO_IMAGE)
        for each in objects
        for _, template in templates(each)
        for container in template["spec"]["containers"]
    )
