"""`podway deploy …`, as far as it goes without a cluster and without a cloud."""

import sys
from typing import ClassVar

import grpc
import pytest
import yaml

from podway.launch import cli
from podway.launch.targets.cloud_run import cloud as real
from podway.launch.targets.error import LaunchError
from podway.launch.targets.kubernetes import cluster
from podway.launch.targets.kubernetes.serving import rollout
from tests.launch.targets import models
from tests.launch.targets.cloud_run.fake import FakeCloudRun, serving
from tests.launch.targets.kubernetes.serving.conftest import DIGEST

IMAGE = ("--target.image", DIGEST)


@pytest.fixture
def workdir(tmp_path):
    """A model "shop" of two versions, and nothing labelled."""
    for size in (1000, 2000):
        models.add(tmp_path, "shop", size=size)
    return str(tmp_path)


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = 0
    try:
        cli.main([*arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def on_kubernetes(capsys, workdir: str, *arguments: str) -> tuple[int, str, str]:
    where = ("--workdir", workdir, "--target.workdir", "gs://bucket/w", *IMAGE)
    return run(capsys, "deploy", "kubernetes", "shop", *where, *arguments)


def test_a_dry_run_prints_objects_and_plan(capsys, workdir):
    code, out, err = on_kubernetes(capsys, workdir, "--dry-run", "--stable", "1", "--canary", "2")
    assert code == 0, err
    made = list(yaml.safe_load_all(out))
    named = [each["metadata"]["name"] for each in made if each["kind"] == "Deployment"]
    assert named == ["shop-stable", "shop-canary"]
    assert "stable     version 1: 2 to 10 pods of 2 cores and 1281Mi of memory" in err
    assert "canary     version 2: 1 to 10 pods" in err


def test_labels_say_what_serves(capsys, workdir):
    models.label(workdir_path(workdir), "shop", 1, "stable")
    models.label(workdir_path(workdir), "shop", 2, "canary")
    _, _, err = on_kubernetes(capsys, workdir, "--dry-run")
    assert "stable     version 1" in err
    assert "canary     version 2" in err
    _, out, err = on_kubernetes(capsys, workdir, "--dry-run", "--no-canary")
    assert "canary" not in err
    assert "shop-canary" not in out


def workdir_path(text: str):
    import pathlib

    return pathlib.Path(text)


def test_objects_go_to_a_folder(capsys, workdir, tmp_path):
    code, out, _ = on_kubernetes(capsys, workdir, "--dry-run", "--output", str(tmp_path / "o"))
    assert code == 0
    assert f"{len(list((tmp_path / 'o').glob('*.yaml')))} objects" in out


def test_a_dry_run_names_what_is_missing(capsys, workdir):
    code, _, err = run(capsys, "deploy", "kubernetes", "shop", "--workdir", workdir, "--dry-run")
    assert code == 1
    assert "target.image is missing" in err
    assert f"--workdir is '{workdir}'" in err


TARGET = f"""
from podway.launch.targets.kubernetes.serving.config import Gateway, Serving

def target():
    return Serving(image={DIGEST!r}, gateway=Gateway("public"), namespace="shop")
"""


def test_a_target_has_a_file_of_its_own(capsys, workdir, tmp_path):
    path = tmp_path / "serving_of_tests.py"
    path.write_text(TARGET)
    code, out, err = on_kubernetes(
        capsys, workdir, "--dry-run", "--target-file", str(path), "--target.scaling.least", "4"
    )
    assert code == 0, err
    made = {each["kind"]: each for each in yaml.safe_load_all(out)}
    assert made["HTTPRoute"]["metadata"]["namespace"] == "shop"
    assert made["HorizontalPodAutoscaler"]["spec"]["minReplicas"] == 4
    assert "by Gateway public: 100 % to stable" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stable", "9", "--dry-run"], "the published versions are: 1, 2"),
        (["--canary", "2", "--no-canary"], "exclude each other"),
        (["--output", "o"], "--output goes with --dry-run"),
        (["--target.image", "serving:1"], "NAME@sha256:DIGEST"),
        (["--target.gateway.canary-percent", "101"], "0 to 100"),
    ],
)
def test_mistakes(capsys, workdir, arguments, message):
    code, _, err = on_kubernetes(capsys, workdir, *arguments)
    assert code in (1, 2)
    assert message in err


def test_without_a_cluster(capsys, workdir, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    code, out, err = on_kubernetes(capsys, workdir, "--yes")
    assert code == 1
    assert "no cluster to talk to" in err
    assert "deploy shop" in out


# ------------------------------------------------------------------------- what is done when


class FakeCluster:
    """Remembers what was asked of it."""

    done: ClassVar[list[str]] = []

    def __init__(self, namespace, context=""):
        self.namespace = namespace
        self.done.clear()

    def apply(self, objects, *, dry_run=False):
        kinds = sorted({each["kind"] for each in objects})
        self.done.append(f"{'try' if dry_run else 'apply'} {' '.join(kinds)}")
        return []

    def list(self, version, kind, labels=""):
        if kind != "Deployment":
            return []
        return [{"metadata": {"name": f"shop-{track}"}} for track in ("stable", "canary")]

    def delete(self, wanted):
        self.done.append(f"delete {wanted['kind']} {wanted['metadata']['name']}")


@pytest.fixture
def fake_cluster(monkeypatch):
    monkeypatch.setattr(cluster, "Cluster", FakeCluster)
    return FakeCluster


GATEWAY = ("--target.gateway.name", "public", "--yes")


def test_requests_move_when_pods_serve(capsys, workdir, monkeypatch, fake_cluster):
    serve = lambda *_: fake_cluster.done.append("serve")  # noqa: E731
    monkeypatch.setattr(rollout, "until_ready", serve)
    code, out, err = on_kubernetes(capsys, workdir, *GATEWAY)
    assert code == 0, err
    first, pods, served, routes, left = fake_cluster.done
    assert first.startswith("try")
    assert "HTTPRoute" in first
    assert "Deployment" in pods
    assert "HTTPRoute" not in pods
    assert served == "serve"
    assert routes == "apply HTTPRoute"
    assert left == "delete Deployment shop-canary"
    assert "shop serves: stable 2" in out


def test_requests_stay_where_they_are_if_pods_never_serve(
    capsys, workdir, monkeypatch, fake_cluster
):
    def fail(*_):
        raise LaunchError("shop-stable does not serve version 2")

    monkeypatch.setattr(rollout, "until_ready", fail)
    code, _, err = on_kubernetes(capsys, workdir, *GATEWAY)
    assert code == 1
    assert "does not serve version 2" in err
    assert len(fake_cluster.done) == 2  # tried and applied, without routes; nothing taken away


def test_without_an_answer_nothing_is_applied(capsys, workdir, fake_cluster):
    code, _, err = on_kubernetes(capsys, workdir)
    assert code == 1
    assert "--yes deploys without asking" in err
    assert [each.partition(" ")[0] for each in fake_cluster.done] == ["try"]


# -------------------------------------------------------------------------------- Cloud Run


PLACE = ("--target.project", "project-1", *IMAGE)


def test_services_are_printed_in_their_order(capsys, workdir, monkeypatch):
    code, out, err = run(
        capsys,
        *("deploy", "cloud-run", "shop", "--workdir", workdir, *PLACE),
        *("--stable", "1", "--canary", "2", "--dry-run"),
    )
    assert code == 1  # the workdir is no bucket
    assert "give gs://BUCKET/FOLDER" in err
    stable, canary = yaml.safe_load_all(out)
    assert len(stable["spec"]["traffic"]) == 1
    assert len(canary["spec"]["traffic"]) == 2


def test_a_service_is_made(capsys, workdir, monkeypatch):
    """The verb, Google's client and a stand-in of its API; the model lies in a folder here."""
    from podway.launch.targets.cloud_run.deployed import Deployed

    fake, cloud = FakeCloudRun(), real.Cloud
    monkeypatch.setattr(Deployed, "bucket", "bucket")
    with serving(fake) as address:
        channel = lambda: grpc.insecure_channel(address)  # noqa: E731
        monkeypatch.setattr(real, "Cloud", lambda place: cloud(place, channel))
        code, out, err = run(
            capsys, "deploy", "cloud-run", "shop", "--workdir", workdir, *PLACE, "--yes"
        )
    assert code == 0, err
    assert "serves at https://shop-x.a.run.app: version 2 100 %" in out
    assert "CreateService" in fake.calls


def test_without_googles_client(capsys, workdir, monkeypatch):
    from podway.launch.targets.cloud_run.deployed import Deployed

    monkeypatch.setattr(Deployed, "bucket", "bucket")
    monkeypatch.delitem(sys.modules, "podway.launch.targets.cloud_run.cloud")
    monkeypatch.delattr("podway.launch.targets.cloud_run.cloud")
    monkeypatch.setitem(sys.modules, "google.cloud.run_v2", None)
    code, _, err = run(capsys, "deploy", "cloud-run", "shop", "--workdir", workdir, *PLACE, "--yes")
    assert code == 1
    assert "pip install 'podway[cloud-run]'" in err
