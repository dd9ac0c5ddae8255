"""Schemas of others, closed: what they do not name is an error.

Those of custom resources are read from the Go modules that define them (`go mod download`),
those of Google's API from the documents that its own client carries.
"""

import functools
import importlib.resources
import json
import pathlib
import re
import shutil
import subprocess
from typing import Any

import jsonschema
import pytest
import yaml

_MODULES = {
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd/monitoring.coreos.com_{}.yaml",
        {"PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules"},
    ),
    "sigs.k8s.io/kueue@v0.17.0": (
        "config/components/crd/bases/kueue.x-k8s.io_{}.yaml",
        {
            "AdmissionCheck": "admissionchecks",
            "ClusterQueue": "clusterqueues",
            "LocalQueue": "localqueues",
            "ProvisioningRequestConfig": "provisioningrequestconfigs",
            "ResourceFlavor": "resourceflavors",
            "WorkloadPriorityClass": "workloadpriorityclasses",
        },
    ),
    "sigs.k8s.io/gateway-api@v1.4.0": (
        "config/crd/standard/gateway.networking.k8s.io_{}.yaml",
        {"HTTPRoute": "httproutes", "GRPCRoute": "grpcroutes"},
    ),
    "github.com/GoogleCloudPlatform/prometheus-engine@v0.17.2": (
        "charts/operator/crds/monitoring.googleapis.com_{}.yaml",
        {"PodMonitoring": "podmonitorings", "Rules": "rules"},
    ),
}
"""Module → where it has its definitions, and the kinds of it that we use, by the files' names."""
KINDS = {kind for _, kinds in _MODULES.values() for kind in kinds}


def errors(each: dict[str, Any]) -> list[str]:
    """What the definition of a custom resource says against an object. Skips without Go."""
    return _said(_of_kind(each["kind"], each["apiVersion"].rpartition("/")[2]), each)


def google_errors(document: str, name: str, each: Any) -> list[str]:
    """What a schema of Google's API says."""
    return _said(_of_google(document, name), each)


def _said(validator: Any, each: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(each)]


@functools.cache
def _of_kind(kind: str, version: str) -> Any:
    for module, (path, kinds) in _MODULES.items():
        if kind in kinds:
            definition = yaml.safe_load((_folder(module) / path.format(kinds[kind])).read_text())
    (found,) = [each for each in definition["spec"]["versions"] if each["name"] == version]
    assert found["served"], (kind, version)
    schema = _closed(found["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return jsonschema.Draft202012Validator(schema)


@functools.cache
def _folder(module: str) -> pathlib.Path:
    if not shutil.which("go"):
        pytest.skip("custom resources are not checked: there is no Go on this machine")
    command = ["go", "mod", "download", "-json", module]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        pytest.skip(f"custom resources are not checked: {done.stdout or done.stderr}")
    return pathlib.Path(json.loads(done.stdout)["Dir"])


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {name: _closed(value) for name, value in node.items()}
    if isinstance(node.get("properties"), dict) and "type" in node:
        found.setdefault("additionalProperties", False)
    if node.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    if isinstance(node.get("pattern"), str) and not _is_pattern(node["pattern"]):
        del found["pattern"]  # Go's expressions allow what Python's do not
    return found


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


@functools.cache
def _of_google(document: str, name: str) -> Any:
    import googleapiclient.discovery_cache as cache

    path = importlib.resources.files(cache) / "documents" / f"{document}.json"
    schemas = json.loads(path.read_text())["schemas"]
    definitions = {key: _converted(value) for key, value in schemas.items()}
    root = {"$ref": f"#/definitions/{name}", "definitions": definitions}
    return jsonschema.Draft7Validator(root)


def _converted(node: dict[str, Any]) -> dict[str, Any]:
    """A schema of a discovery document as a closed JSON schema."""
    if "$ref" in node:
        return {"$ref": f"#/definitions/{node['$ref']}"}
    kind = node.get("type")
    if kind in (None, "any"):
        return {}
    found: dict[str, Any] = {"type": kind}
    if node.get("format") in ("int64", "uint64"):
        found["type"] = ["string", "integer"]
    if "enum" in node:
        found["enum"] = node["enum"]
    if kind == "array":
        found["items"] = _converted(node["items"])
    if kind == "object":
        found["properties"] = {
            name: _converted(value) for name, value in node.get("properties", {}).items()
        }
        more = node.get("additionalProperties")
        found["additionalProperties"] = _converted(more) if more else False
    return found
