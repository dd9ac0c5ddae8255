"""A pod's container as a process of this machine: its command, environment and volumes.

What an image or a node brings is replaced: `podway` is this checkout's, a folder stands in for each
volume, host names of a JobSet's pods are loopback, with free ports for the ports of each, and a pod
with TPUs finds as many devices of the CPU, and its peers as GKE tells it.
"""

import base64
import dataclasses
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from tests import xla

Pod = dict[str, Any]
TPU = "google.com/tpu"
ENTRYPOINT = ("podway",)
"""What Podway's images run where a container has no command."""
_JOBSET = "jobset.sigs.k8s.io"
_INDEX = "batch.kubernetes.io/job-completion-index"
_COORDINATOR = 8482
"""Where JAX's process 0 listens on a TPU slice."""


class UnsupportedError(Exception):
    """A pod asks for what cannot be done here; the message says for what."""


@dataclasses.dataclass(frozen=True)
class Process:
    """What to start.

    Attributes:
      command: program and arguments.
      environment: beside what all have.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Names:
    """How a host of a JobSet is reached here.

    Attributes:
      attempt: what is new with each start of the JobSet, whose ports are, too.
      port: (attempt, host, port) → the port on loopback.
    """

    attempt: str
    port: Callable[[str, str, int], int]

    def translated(self, text: str, subdomain: str) -> str:
        """The text with HOST.SUBDOMAIN and HOST.SUBDOMAIN:PORT on loopback."""
        space = r"(?:\.[a-z0-9-]+\.svc(?:\.cluster\.local)?)?"
        name = re.compile(rf"\b([a-z0-9-]+)\.{re.escape(subdomain)}{space}(?::(\d+))?\b")

        def here(found: re.Match[str]) -> str:
            if not found[2]:
                return "127.0.0.1"
            return f"127.0.0.1:{self.port(self.attempt, found[1], int(found[2]))}"

        return name.sub(here, text) if subdomain else text


def process(pod: Pod, hosts: int, names: Names, folders: Mapping[str, pathlib.Path]) -> Process:
    """What the only container of a pod runs.

    Args:
      pod: that is bound to a node.
      hosts: pods of its Job.
      names: of its peers.
      folders: for each of its volumes.
    """
    spec = pod["spec"]
    if len(spec["containers"]) != 1 or spec.get("initContainers"):
        raise UnsupportedError("a pod of several containers")
    (container,) = spec["containers"]
    mounts = {
        each["mountPath"]: str(folders[each["name"]]) for each in container.get("volumeMounts", [])
    }

    def local(text: str) -> str:
        return names.translated(_moved(text, mounts), spec.get("subdomain", ""))

    given = environment(pod, container)
    words = [*container.get("command", ENTRYPOINT), *container.get("args", [])]
    found = {name: local(value) for name, value in given.items()}
    if "/tmp" in mounts:
        found["TMPDIR"] = mounts["/tmp"]
    chips = int(container.get("resources", {}).get("limits", {}).get(TPU, 0))
    if chips:
        found |= {name: local(value) for name, value in tpu_host(pod, chips, hosts, names).items()}
    return Process(tuple(local(expanded(word, given)) for word in words), found)


def environment(pod: Pod, container: dict[str, Any]) -> dict[str, str]:
    """The variables of a container, in which later ones may use earlier ones."""
    found: dict[str, str] = {}
    if container.get("envFrom"):
        raise UnsupportedError("envFrom")
    for each in container.get("env", []):
        if "valueFrom" in each:
            found[each["name"]] = _field(pod, each["valueFrom"])
        else:
            found[each["name"]] = expanded(each.get("value", ""), found)
    return found


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """With $(NAME) replaced where there is such a variable; $$ stands for one $."""

    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else variables.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([\w.-]+)\)", value, text)


def _field(pod: Pod, source: dict[str, Any]) -> str:
    path = source.get("fieldRef", {}).get("fieldPath")
    if path is None:
        raise UnsupportedError(f"a variable from {', '.join(source)}")
    if found := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
        return pod["metadata"].get(found[1], {}).get(found[2], "")
    node: Any = pod
    for step in path.split("."):
        node = node.get(step, "")
    return str(node)


def _moved(text: str, mounts: Mapping[str, str]) -> str:
    """With folders in place of the paths where they would be mounted."""
    if not mounts:
        return text
    longest_first = sorted(mounts, key=len, reverse=True)
    paths = "|".join(re.escape(path.rstrip("/")) for path in longest_first)
    return re.sub(rf"(?<![\w./-])({paths})(?=/|$|[\s,:])", lambda found: mounts[found[1]], text)


def tpu_host(pod: Pod, chips: int, hosts: int, names: Names) -> dict[str, str]:
    """What GKE tells the host of a TPU slice, and what makes JAX read it on a CPU."""
    labels = pod["metadata"]["labels"]
    annotations = pod["metadata"].get("annotations", {})
    found = {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": xla.flags(chips),
        "JAX_FORCE_TPU_INIT": "1",
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_WORKER_ID": annotations.get(_INDEX, "0"),
        # Of one slice alone; what is not set at all, JAX asks Google's metadata server for.
        "MEGASCALE_COORDINATOR_ADDRESS": "",
        "MEGASCALE_NUM_SLICES": "",
        "MEGASCALE_SLICE_ID": "",
    }
    if f"{_JOBSET}/jobset-name" not in labels:
        return found | {"TPU_WORKER_HOSTNAMES": "127.0.0.1"}
    group = f"{labels[f'{_JOBSET}/jobset-name']}-{labels[f'{_JOBSET}/replicatedjob-name']}"
    subdomain = pod["spec"]["subdomain"]
    slice_, slices = (labels[f"{_JOBSET}/{it}"] for it in ("job-index", "replicatedjob-replicas"))
    workers = [f"{group}-{slice_}-{host}.{subdomain}" for host in range(hosts)]
    found["TPU_WORKER_HOSTNAMES"] = ",".join(workers)
    found["JAX_COORDINATOR_PORT"] = str(names.port(names.attempt, f"{group}-0-0", _COORDINATOR))
    if slices != "1":
        found |= {
            "MEGASCALE_COORDINATOR_ADDRESS": f"{group}-0-0.{subdomain}",
            "MEGASCALE_NUM_SLICES": slices,
            "MEGASCALE_SLICE_ID": slice_,
        }
    return found


def write_config_map(
    folder: pathlib.Path, volume: dict[str, Any], found: Mapping[str, Any]
) -> None:
    """The files of a ConfigMap's volume."""
    content = {name: text.encode() for name, text in found.get("data", {}).items()}
    content |= {name: base64.b64decode(it) for name, it in found.get("binaryData", {}).items()}
    items = volume.get("items") or [{"key": name, "path": name} for name in content]
    for item in items:
        path = folder / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content[item["key"]])
