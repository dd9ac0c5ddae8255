"""A JobSet that runs: what the tests make of `manifests.job_set`, and what they ask about it."""

import collections
from collections.abc import Callable
from typing import Any

from tests.cluster import manifests
from tests.cluster.client import Client
from tests.cluster.manifests import Manifest

PATH = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/default/jobsets"
_LABEL = "jobset.sigs.k8s.io"


def make(name: str, slices: int, hosts: int, **container: Any) -> Manifest:
    """A training of one chip a host, whose container has what is given."""
    made = manifests.job_set(name, slices, hosts)
    first = pods(made)["containers"][0]
    first |= {"resources": {"limits": {"google.com/tpu": 1}}, "env": []} | container
    return made


def pods(jobset: Manifest) -> dict[str, Any]:
    """The spec of its pods."""
    return jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]


def path(name: str, space: str) -> str:
    """Of a JobSet."""
    return f"/apis/jobset.x-k8s.io/v1alpha2/namespaces/{space}/jobsets/{name}"


def status(client: Client, name: str) -> dict[str, Any]:
    """Of the JobSet."""
    return (client.get(f"{PATH}/{name}") or {}).get("status", {})


def ended(client: Client, name: str) -> str | None:
    """ "Completed" or "Failed", once it is that."""
    return ended_of({"status": status(client, name)})


def ended_of(jobset: Manifest) -> str | None:
    """The same of a JobSet that was read before."""
    for each in jobset.get("status", {}).get("conditions", []):
        if each["type"] in ("Completed", "Failed") and each["status"] == "True":
            return each["type"]
    return None


def running(client: Client, name: str, count: int) -> Callable[[], list[Manifest] | None]:
    """Asks for its pods; they are there once so many run."""

    def ask() -> list[Manifest] | None:
        found = [
            pod
            for pod in client.items(f"/api/v1/pods?labelSelector={_LABEL}/jobset-name%3D{name}")
            if pod["status"].get("phase") == "Running"
            and not pod["metadata"].get("deletionTimestamp")
        ]
        return found if len(found) == count else None

    return ask


def pools(found: list[Manifest]) -> dict[str, set[str]]:
    """Slice → the node pools that its pods are on."""
    placed: dict[str, set[str]] = collections.defaultdict(set)
    for pod in found:
        pool = pod["spec"]["nodeName"].removeprefix("gke-").rpartition("-")[0]
        placed[pod["metadata"]["labels"][f"{_LABEL}/job-index"]].add(pool)
    return dict(placed)
