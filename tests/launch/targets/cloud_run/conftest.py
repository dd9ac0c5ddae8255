import dataclasses

import grpc
import pytest

from podway.launch.targets.cloud_run.cloud import Cloud
from podway.launch.targets.cloud_run.deployed import Deployed
from podway.launch.targets.cloud_run.target import CloudRun, Place
from tests.launch.targets.cloud_run.fake import FakeCloudRun, serving
from tests.launch.targets.kubernetes.serving.conftest import CANARY, DIGEST, ROWS, STABLE

TARGETS = {
    "rest": CloudRun(
        project="project-1", image=DIGEST, service_account="s@p.iam.gserviceaccount.com"
    ),
    "grpc": CloudRun(
        project="project-1", image=DIGEST, server="podway", protocol="grpc", cpu=4, least=1
    ),
    "gpu": CloudRun(project="project-1", image=DIGEST, cpu=4, gpu="nvidia-l4"),
}


def deployed(name: str, *, canary: bool = True, **fields) -> Deployed:
    """A deployment on one of the targets, with other fields."""
    target = dataclasses.replace(TARGETS[name], **fields)
    stable = ROWS if name == "gpu" else STABLE
    tracks = {"stable": stable, **({"canary": CANARY} if canary and name != "gpu" else {})}
    return Deployed(tracks, target, "gs://bucket/w")


@pytest.fixture
def fake():
    return FakeCloudRun()


@pytest.fixture
def cloud(fake):
    place = Place(project="project-1", region="europe-west4")
    with serving(fake) as address:
        yield Cloud(place, channel=lambda: grpc.insecure_channel(address))
