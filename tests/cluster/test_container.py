"""How a pod's container becomes a process: what is Kubernetes' rule, and what is replaced here."""

import copy
import pathlib

import pytest

from tests.cluster import container
from tests.cluster.container import Names, Process, UnsupportedError

NAMES = Names("first", lambda attempt, host, port: 10_000 + port + (host != "run-slice-0-0"))


def pod(**changes) -> dict:
    """A pod of a JobSet's second slice, as the API server has it."""
    labels = {
        "jobset.sigs.k8s.io/jobset-name": "run",
        "jobset.sigs.k8s.io/replicatedjob-name": "slice",
        "jobset.sigs.k8s.io/job-index": "1",
        "jobset.sigs.k8s.io/replicatedjob-replicas": "2",
    }
    annotations = {"batch.kubernetes.io/job-completion-index": "3"}
    first = {"name": "train", "image": "train:1"} | changes
    return {
        "metadata": {"name": "p", "labels": labels, "annotations": annotations},
        "spec": {"subdomain": "run", "nodeName": "gke-a-0", "containers": [first]},
    }


def process(folders=None, **changes) -> Process:
    return container.process(pod(**changes), 4, NAMES, folders or {})


def test_variables_in_variables_and_in_arguments():
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    found = process(
        command=["podway", "train"],
        args=["--process-id", "$(INDEX)", "$$(INDEX)", "$(NONE)"],
        env=[
            {"name": "INDEX", "valueFrom": {"fieldRef": {"fieldPath": index}}},
            {"name": "BOTH", "value": "$(INDEX) on $(LATER)"},
            {"name": "LATER", "value": "x"},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        ],
    )
    assert found.command == ("podway", "train", "--process-id", "3", "$(INDEX)", "$(NONE)")
    expected = {"INDEX": "3", "BOTH": "3 on $(LATER)", "LATER": "x", "NODE": "gke-a-0"}
    assert found.environment == expected


def test_an_image_without_a_command_is_podway():
    assert process(args=["--help"]).command == ("podway", "--help")


def test_host_names_are_loopback_and_each_has_ports_of_its_own():
    found = process(
        args=["--coordinator", "run-slice-0-0.run:6002", "run-slice-1-0.run:6002", "a.runs:6002"],
        env=[{"name": "ALL", "value": "run-slice-0-0.run,run-slice-0-1.run.default.svc"}],
    )
    assert found.command[2:] == ("127.0.0.1:16002", "127.0.0.1:16003", "a.runs:6002")
    assert found.environment["ALL"] == "127.0.0.1,127.0.0.1"


def test_paths_of_volumes_are_folders_here():
    folders = {name: pathlib.Path(f"/tmp/{name}") for name in ("work", "inner", "scratch")}
    mounts = {"work": "/data", "inner": "/data/inner", "scratch": "/tmp"}
    found = process(
        folders,
        args=["--workdir=/data/w", "/data/inner/x", "/data", "/database", "gs://a/data/b"],
        volumeMounts=[{"name": name, "mountPath": path} for name, path in mounts.items()],
    )
    expected = ("--workdir=/tmp/work/w", "/tmp/inner/x", "/tmp/work", "/database", "gs://a/data/b")
    assert found.command[1:] == expected
    assert found.environment == {"TMPDIR": "/tmp/scratch"}


def test_a_host_of_a_tpu_slice_learns_what_gke_tells():
    found = process(resources={"limits": {"google.com/tpu": "4"}}).environment
    assert found["TPU_WORKER_ID"] == "3"
    assert found["TPU_WORKER_HOSTNAMES"] == ",".join(4 * ["127.0.0.1"])
    assert found["MEGASCALE_COORDINATOR_ADDRESS"] == "127.0.0.1"
    assert (found["MEGASCALE_SLICE_ID"], found["MEGASCALE_NUM_SLICES"]) == ("1", "2")
    assert found["JAX_COORDINATOR_PORT"] == "18482"
    assert "device_count=4" in found["XLA_FLAGS"]
    one = copy.deepcopy(pod(resources={"limits": {"google.com/tpu": "4"}}))
    one["metadata"]["labels"]["jobset.sigs.k8s.io/replicatedjob-replicas"] = "1"
    alone = container.process(one, 4, NAMES, {}).environment
    assert {value for name, value in alone.items() if name.startswith("MEGASCALE")} == {""}


def test_a_config_map_is_files(tmp_path):
    found = {"data": {"a__b.json": "{}"}, "binaryData": {"c": "AAE="}}
    items = [{"key": "a__b.json", "path": "a/b.json"}, {"key": "c", "path": "c"}]
    container.write_config_map(tmp_path, {"name": "x", "items": items}, found)
    assert (tmp_path / "a" / "b.json").read_text() == "{}"
    assert (tmp_path / "c").read_bytes() == b"\x00\x01"
    container.write_config_map(tmp_path, {"name": "x"}, found)
    assert (tmp_path / "a__b.json").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"envFrom": [{"secretRef": {"name": "s"}}]},
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
    ],
)
def test_what_cannot_be_done_is_an_error(changes):
    with pytest.raises(UnsupportedError):
        process(**changes)
