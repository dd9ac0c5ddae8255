"""What launches and deployments apply, before the API server's own validation."""

import pathlib

import pytest
import yaml

from podway.launch.targets.kubernetes import held, queue, retrain, training, yaml_text
from podway.launch.targets.kubernetes.quotas import Queue
from podway.launch.targets.kubernetes.schedule import Schedule
from podway.launch.targets.kubernetes.target import Bucket, Claim
from tests.cluster import manifests, programs
from tests.cluster.validation import validate, validate_files
from tests.launch.targets.kubernetes.conftest import a_launch

pytestmark = pytest.mark.slow

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "launch"
GOOGLES = "networking.gke.io/"
"""Kinds of GKE, whose definitions are in no Go module."""
FURTHER = {
    "queue": "training",
    "priority": "low",
    "google_service_account": "train@p.iam.gserviceaccount.com",
    "buckets": (Bucket("b", "/data", read_only=True),),
    "claims": (Claim("work", "/work"),),
    "environment": ("A=b", "EMPTY="),
    "node_selector": ("team=research",),
}
TARGETS = {
    "a slice": {"accelerator": "v5e:4x4"},
    "slices": {"accelerator": "v5e:4x4", "slices": 4},
    "a host": {"accelerator": "v5e:2x2"},
    "spot": {"accelerator": "v5e:4x4", "capacity": "spot"},
    "reserved": {"accelerator": "v5e:4x4", "capacity": "reserved", "reservation": "r"},
    "flex start": {"accelerator": "v5e:4x4", "capacity": "flex-start"},
    "GPUs": {"accelerator": "h100:16"},
    "CPUs": {"accelerator": "cpu:2"},
    "any cluster": {"provider": "any", "accelerator": "h100:16"},
    "all the rest": {"accelerator": "v5e:4x4"} | FURTHER,
}


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    if why := programs.missing():
        pytest.skip(f"no manifest is validated: {why}")
    programs.build("validate")


@pytest.mark.parametrize("name", TARGETS)
def test_a_launch_is_valid(name):
    objects = training.objects(a_launch(**TARGETS[name]), 1_800_000_000)
    assert {each["kind"] for each in objects} >= {"ConfigMap", "JobSet", "Namespace"}
    assert validate(objects) == []


@pytest.mark.parametrize("owner", ["", "0d6f0a4e-8a0c-4c5e-9a53-0c2f3f0d6b11"])
def test_pods_that_hold_machines_are_valid(owner):
    assert validate([held.job_set(a_launch(**TARGETS["slices"]), 2, owner)]) == []


@pytest.mark.parametrize("name", ["slices", "CPUs", "all the rest"])
def test_a_schedule_of_launches_is_valid(name):
    objects = retrain.objects(a_launch(**TARGETS[name]), Schedule())
    assert {each["kind"] for each in objects} >= {"CronJob", "Role"}
    assert validate(objects) == []


def test_a_queue_is_valid():
    quotas = ("v5e:4x4:spot=64", "h100:8=16", "v5e:8x8:flex-start=64", "v6e:8x8:reserved/b=256")
    objects = queue.objects(Queue(quotas=quotas, namespaces=("research", "shop")))
    assert {each["kind"] for each in objects} >= {"ClusterQueue", "LocalQueue"}
    assert validate(objects) == []


@pytest.mark.parametrize("name", ["serving", "serving_any"])
def test_a_deployment_is_valid(name):
    documents = yaml.safe_load_all((GOLDEN / f"{name}.yaml").read_text())
    objects = [each for each in documents if not each["apiVersion"].startswith(GOOGLES)]
    assert {each["kind"] for each in objects} >= {"Deployment", "PodDisruptionBudget"}
    assert validate(objects) == []


@pytest.mark.parametrize(
    "text", ["12e4", "0x1f", "1_000", "0o17", "1:30", "~", "no", ".5", "=", "-"]
)
def test_a_text_that_looks_like_a_number_stays_a_text(text, tmp_path):
    """A hash may be 12e4567, which is a number to Kubernetes' YAML and none to Python's."""
    made = manifests.config_map() | {"data": {"hash": text}}
    file = tmp_path / "made.yaml"
    file.write_text(yaml_text.of([made]))
    assert validate_files([file]) == []
