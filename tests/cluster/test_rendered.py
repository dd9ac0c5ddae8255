"""What `podway launch kubernetes` applies, before the API server's own validation."""

import dataclasses

import pytest

from podway.launch import experiments
from podway.launch.targets import frozen
from podway.launch.targets.kubernetes import training
from podway.launch.targets.kubernetes.launch import Launch
from podway.launch.targets.kubernetes.target import Bucket, Claim, Images, Kubernetes
from tests.cluster import programs
from tests.cluster.validation import validate

pytestmark = pytest.mark.slow

DIGEST = "europe-docker.pkg.dev/p/podway/{}@sha256:" + 64 * "0"
PLAIN = Kubernetes(
    accelerator="v5e:4x4",
    images=Images(*(DIGEST.format(name) for name in ("train-tpu", "worker", "export"))),
)
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
    "a slice": {},
    "slices": {"slices": 4},
    "a host": {"accelerator": "v5e:2x2"},
    "spot": {"capacity": "spot"},
    "reserved": {"capacity": "reserved", "reservation": "r"},
    "flex start": {"capacity": "flex-start"},
    "GPUs": {"accelerator": "h100:16"},
    "CPUs": {"accelerator": "cpu:2"},
    "any cluster": {"provider": "any", "accelerator": "h100:16"},
    "all the rest": FURTHER,
}


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    if why := programs.missing():
        pytest.skip(f"no manifest is validated: {why}")
    programs.build("validate")


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("submitted", [None, 1_800_000_000])
def test_a_launch_is_valid(name, submitted):
    experiment = experiments.load("movielens_sasrec")
    target = dataclasses.replace(PLAIN, **TARGETS[name])
    launch = Launch(experiment, frozen.freeze(experiment), target, "gs://bucket/w")
    objects = training.objects(launch, submitted)
    assert {each["kind"] for each in objects} >= {"ConfigMap", "JobSet", "Namespace"}
    assert validate(objects) == []
