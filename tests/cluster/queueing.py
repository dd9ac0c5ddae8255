"""Kueue on a control plane: its kinds, controllers, scheduler and webhooks, all real.

The program is kueue/; kinds and webhooks are read from Kueue's Go module, and the kind by which it
asks for machines from the autoscaler's. Webhooks, and the one that converts between versions, are
reached by address, as those of JobSet.
"""

import json
import pathlib
from typing import Any

import yaml

from tests.cluster import programs
from tests.cluster.control_plane import ControlPlane, free_ports

Manifest = dict[str, Any]
MODULE = "sigs.k8s.io/kueue"
AUTOSCALER = "k8s.io/autoscaler/cluster-autoscaler/apis"
_KINDS = ("jobs", "jobsets", "clusterqueues", "cohorts", "resourceflavors", "workloads")
"""Whose webhooks the program has."""


def start(plane: ControlPlane) -> None:
    """Starts Kueue, and waits until it answers for what is asked of it."""
    components = programs.module("kueue", MODULE) / "config" / "components"
    (port,) = free_ports(1)
    definitions = _definitions(components / "crd")
    for each in definitions:
        _define(plane, each, port)
    for path in (programs.module("kueue", AUTOSCALER) / "config/crd").glob("*.yaml"):
        _define(plane, yaml.load(path.read_text(), yaml.CSafeLoader), port)
    kinds = {each["spec"]["names"]["kind"] for each in definitions}
    plane.wait("Kueue's kinds", lambda: kinds <= _served(plane, "kueue.x-k8s.io/v1beta2"))
    plane.wait("the autoscaler's kind", lambda: _served(plane, "autoscaling.x-k8s.io/v1"))
    config = plane.folder / "kueue.json"
    config.write_text(json.dumps(_configuration(plane, port)))
    kubeconfig = str(plane.folder / "kubeconfig")
    plane.run("kueue", "kueue", "-kubeconfig", kubeconfig, "-config", str(config))
    for configuration in yaml.safe_load_all((components / "webhook/manifests.yaml").read_text()):
        plane.client.made(_reached(configuration, port, plane.authority))
    plane.wait("Kueue's webhooks", lambda: _answers(plane))


def _definitions(folder: pathlib.Path) -> list[Manifest]:
    found = [yaml.load(path.read_text(), yaml.CSafeLoader) for path in folder.glob("bases/*.yaml")]
    patches = yaml.safe_load((folder / "kustomization.yaml").read_text())["patches"]
    converted = {
        yaml.safe_load((folder / patch["path"]).read_text())["metadata"]["name"]
        for patch in patches
    }
    for each in found:
        if each["metadata"]["name"] in converted:
            each["spec"]["conversion"] = {"strategy": "Webhook"}
    return found


def _define(plane: ControlPlane, definition: Manifest, port: int) -> None:
    """Makes a kind, or replaces the definition without conversion that is there."""
    if "conversion" in definition["spec"]:
        client = {"url": f"https://127.0.0.1:{port}/convert", "caBundle": plane.authority}
        hook = {"clientConfig": client, "conversionReviewVersions": ["v1"]}
        definition["spec"]["conversion"]["webhook"] = hook
    path = plane.client.path(definition)
    if plane.client.get(path):
        plane.client.patch(path, {"spec": definition["spec"]})
    else:
        plane.client.made(definition)


def _served(plane: ControlPlane, version: str) -> set[str]:
    """Kinds of it that the API server knows by now."""
    found = plane.client.get(f"/apis/{version}") or {"resources": []}
    return {each["kind"] for each in found["resources"]}


def _configuration(plane: ControlPlane, port: int) -> Manifest:
    return {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "health": {"healthProbeBindAddress": "0"},
        "metrics": {"bindAddress": "0"},
        "webhook": {"host": "127.0.0.1", "port": port, "certDir": str(plane.hooks)},
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "clientConnection": {"qps": 1000, "burst": 1000},
        "integrations": {"frameworks": ["batch/job", "jobset.x-k8s.io/jobset"]},
    }


def _reached(configuration: Manifest, port: int, authority: str) -> Manifest:
    """Its webhooks of our kinds, by address."""
    hooks = []
    for hook in configuration["webhooks"]:
        if not any(kind in rule["resources"] for rule in hook["rules"] for kind in _KINDS):
            continue
        url = f"https://127.0.0.1:{port}{hook['clientConfig']['service']['path']}"
        hooks.append(hook | {"clientConfig": {"url": url, "caBundle": authority}})
    return configuration | {"webhooks": hooks, "metadata": {"name": "kueue"}}


def _answers(plane: ControlPlane) -> bool:
    """Whether a ClusterQueue is refused for what is wrong with it, in the older version, too."""
    group = {
        "coveredResources": ["cpu"],
        "flavors": [{"name": "f", "resources": [{"name": "cpu", "nominalQuota": 1}]}],
    }
    probe = {
        "apiVersion": "kueue.x-k8s.io/v1beta1",
        "kind": "ClusterQueue",
        "metadata": {"name": "probe"},
        "spec": {"resourceGroups": [group, group]},
    }
    _, answer = plane.client.create(probe, dry_run=True)
    return "Duplicate value" in answer.get("message", "")
