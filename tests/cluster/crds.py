"""Copies definitions of custom kinds from their projects' Go modules, without descriptions.

usage: python -m tests.cluster.crds

The copies in crds/ are what `validate` and the tests' API server read: neither needs the modules.
The go command fetches and verifies them; where each copy comes from stands in its first line.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
from typing import Any

import yaml

from tests.cluster.validation import CRDS

MODULES = {
    "sigs.k8s.io/jobset@v0.11.1": ("config/components/crd/bases", ["jobsets"]),
    "sigs.k8s.io/kueue@v0.17.0": (
        "config/components/crd/bases",
        [
            "admissionchecks",
            "clusterqueues",
            "localqueues",
            "provisioningrequestconfigs",
            "resourceflavors",
            "workloadpriorityclasses",
        ],
    ),
    "sigs.k8s.io/gateway-api@v1.4.0": ("config/crd/standard", ["grpcroutes", "httproutes"]),
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd",
        ["podmonitors", "prometheusrules"],
    ),
    "github.com/GoogleCloudPlatform/prometheus-engine@v0.17.2": (
        "charts/operator/crds",
        ["podmonitorings", "rules"],
    ),
}
"""Module and version → the folder of its definitions, and the kinds (plural) that are copied."""


class _Loader(yaml.CSafeLoader):
    """Takes `=` as text, which YAML 1.1 has a type for, and Go's libraries have not."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: node.value)
_HEADER = "# Of {module} (Apache-2.0), {file}, without descriptions.\n"


def copy(module: str, into: pathlib.Path) -> None:
    """Copies the definitions of a module."""
    folder, names = MODULES[module]
    root = _downloaded(module) / folder
    for path in sorted(root.glob("*.yaml")):
        if path.name == "kustomization.yaml":
            continue
        for definition in yaml.load_all(path.read_text(), _Loader):
            if not definition or definition["kind"] != "CustomResourceDefinition":
                continue
            if definition["spec"]["names"]["plural"] not in names:
                continue
            name = f"{definition['metadata']['name']}.yaml"
            header = _HEADER.format(module=module, file=f"{folder}/{path.name}")
            text = yaml.safe_dump(_trimmed(definition), sort_keys=False, width=100)
            (into / name).write_text(header + text)


def _trimmed(definition: dict[str, Any]) -> dict[str, Any]:
    """What a server needs of a definition."""
    definition = _without_descriptions(definition)
    definition.pop("status", None)
    metadata = definition["metadata"]
    kept = {"api-approved.kubernetes.io"}  # without it the server refuses groups *.k8s.io
    annotations = {k: v for k, v in metadata.get("annotations", {}).items() if k in kept}
    definition["metadata"] = {"name": metadata["name"]}
    if annotations:
        definition["metadata"]["annotations"] = annotations
    definition["spec"].pop("conversion", None)
    return definition


def _without_descriptions(node: Any) -> Any:
    """A schema without its prose: a `description` that is text is not a field of that name."""
    if isinstance(node, list):
        return [_without_descriptions(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        name: _without_descriptions(each)
        for name, each in node.items()
        if not (name == "description" and isinstance(each, str))
    }


def _downloaded(module: str) -> pathlib.Path:
    """The folder of a module. Outside of a module of its own the go command needs no go.sum."""
    with tempfile.TemporaryDirectory() as nowhere:
        done = subprocess.run(
            ["go", "mod", "download", "-json", module],
            cwd=nowhere,
            capture_output=True,
            check=False,
        )
    found = json.loads(done.stdout)
    if "Error" in found:
        raise RuntimeError(re.sub(r"\s+", " ", found["Error"]))
    return pathlib.Path(found["Dir"])


def main() -> int:
    """Copies all definitions."""
    CRDS.mkdir(exist_ok=True)
    for module in MODULES:
        copy(module, CRDS)
        print(module)
    return 0


if __name__ == "__main__":
    sys.exit(main())
