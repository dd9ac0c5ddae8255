"""`podway launch queue`, `retrain` and `cloud-run`, without a cluster or a cloud."""

import dataclasses
import json
import pathlib
from typing import ClassVar

import pytest
import yaml

from podway.framework.error import ConfigError
from podway.launch import cli, experiments
from podway.launch.targets.error import FailedError, LaunchError
from podway.launch.targets.kubernetes import cluster, follow, handed
from podway.launch.targets.kubernetes.status import Status
from podway.launch.verbs.launch import cloud_run
from tests.launch.targets.cloud_run.test_cloud import a_job
from tests.launch.targets.kubernetes.test_verb import GIVEN

IMAGES = [word for word in GIVEN if word != "--skip-preflight"]


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = 0
    try:
        cli.main(["launch", *arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def kinds(text: str) -> list[str]:
    return [each["kind"] for each in yaml.safe_load_all(text)]


def test_a_queue(capsys):
    code, out, err = run(capsys, "queue", "--target.quotas", "v5e:4x4:spot=64", "--dry-run")
    assert code == 0, err
    assert kinds(out)[-1] == "LocalQueue"
    assert "64 chips: 4 of this topology" in err


def test_a_queue_of_nothing(capsys):
    code, _, err = run(capsys, "queue", "--dry-run")
    assert code == 1
    assert "--target.quotas is missing" in err


class FakeCluster:
    """Remembers what was applied where."""

    applied: ClassVar[dict[str, list[str]]] = {}
    created: ClassVar[list[dict]] = []
    refusing: ClassVar[set[str]] = set()
    """Namespaces in which nothing may be applied, and kinds that there are not."""

    def __init__(self, namespace, context=""):
        self.namespace = namespace

    def require(self, version, kind):
        if kind in self.refusing:
            raise LaunchError(f"no {kind}")

    def get(self, version, kind, name):
        return None

    def list(self, version, kind):
        return []

    def apply(self, objects, *, dry_run=False):
        if self.namespace in self.refusing:
            raise LaunchError("you may not do this")
        if dry_run:
            return []
        self.applied.setdefault(self.namespace, []).extend(each["kind"] for each in objects)
        return []

    def create(self, each):
        self.created.append(each)
        return len(self.created) == 1


@pytest.fixture
def fake(monkeypatch):
    FakeCluster.applied.clear()
    FakeCluster.created.clear()
    FakeCluster.refusing.clear()
    monkeypatch.setattr(cluster, "Cluster", FakeCluster)
    return FakeCluster


def test_queues_of_several_namespaces_are_applied_in_each(capsys, fake):
    quotas = ("--target.quotas", "v5e:4x4=64", "--target.namespaces", "a", "b")
    code, _, err = run(capsys, "queue", *quotas, "--yes")
    assert code == 0, err
    assert fake.applied["b"] == ["Namespace", "LocalQueue"]
    assert fake.applied["a"][-2:] == ["Namespace", "LocalQueue"]
    assert "ClusterQueue" in fake.applied["a"]


def test_queues_of_several_namespaces_are_applied_in_all_or_none(capsys, fake):
    fake.refusing.add("b")
    quotas = ("--target.quotas", "v5e:4x4=64", "--target.namespaces", "a", "b")
    code, _, err = run(capsys, "queue", *quotas, "--yes")
    assert code == 1
    assert "you may not do this" in err
    assert not fake.applied


@pytest.mark.parametrize("capacity", ["flex-start", "on-demand"])
def test_a_queue_for_machines_that_a_cluster_cannot_be_asked_for(capsys, fake, capacity):
    """Kueue would take no launch at all, of no machines."""
    fake.refusing.add("ProvisioningRequest")
    code, _, err = run(capsys, "queue", "--target.quotas", f"v5e:4x4:{capacity}=64", "--yes")
    assert code == (capacity == "flex-start"), err
    assert bool(fake.applied) == (capacity != "flex-start")


def test_retraining(capsys):
    images = dict(zip(IMAGES[::2], IMAGES[1::2], strict=True))
    words = ("--target.accelerator", "v5e:4x4", "--schedule.schedule", "@weekly", "--dry-run")
    export = ("--target.images.export", images["--target.images.export"])
    given = ("retrain", "movielens_sasrec", *words, *export, "--workdir", "gs://bucket/w")
    code, out, err = run(capsys, *given)
    assert code == 1
    assert "target.images.train is missing" in err
    assert "target.images.data" not in err, "the cycle's pod builds the dataset"
    train = ("--target.images.train", images["--target.images.train"])
    code, out, err = run(capsys, *given, *train)
    assert code == 0, err
    assert kinds(out)[-1] == "CronJob"
    assert "at @weekly (Etc/UTC)" in err


@pytest.mark.parametrize("accelerator", ["cpu:1", "v5e:4x4"])
@pytest.mark.parametrize(
    ("option", "said"), [("queue", "has no LocalQueue"), ("priority", "a PriorityClass that")]
)
def test_a_clock_whose_launches_would_wait_for_ever(capsys, fake, accelerator, option, said):
    code, _, err = run(
        capsys,
        *("retrain", "movielens_sasrec", *IMAGES, "--yes"),
        *("--target.accelerator", accelerator, f"--target.{option}", "none"),
    )
    assert code == 1
    assert said in err
    assert not fake.applied


def test_retraining_on_one_machine_takes_one_image(capsys):
    images = dict(zip(IMAGES[::2], IMAGES[1::2], strict=True))
    code, out, err = run(
        capsys,
        *("retrain", "movielens_sasrec", "--target.accelerator", "cpu:1", "--dry-run"),
        *("--target.images.export", images["--target.images.export"]),
        *("--workdir", "gs://bucket/w"),
    )
    assert code == 0, err
    assert "Role" not in kinds(out)


@pytest.fixture
def job_set(capsys, tmp_path) -> pathlib.Path:
    """As `podway launch retrain` renders it."""
    _, out, _ = run(
        capsys,
        *("retrain", "movielens_sasrec", *IMAGES, "--dry-run"),
        *("--target.accelerator", "v5e:4x4"),
    )
    (text,) = [
        each["data"]["job_set.json"]
        for each in yaml.safe_load_all(out)
        if "job_set.json" in (each.get("data") or {})
    ]
    file = tmp_path / "job_set.json"
    file.write_text(text)
    return file


def test_training_is_handed_over_and_waited_for(capsys, fake, monkeypatch, job_set):
    """What a cycle's pod does, three times: the second one finds the JobSet."""
    ends = [
        Status("complete", "", ()),
        Status("failed", "train", ("it broke",)),
        Status("stopped", "", ()),
    ]
    monkeypatch.setattr(follow, "until_over", lambda *_, **__: ends.pop(0))
    name = "movielens-sasrec-29400000"
    found = handed.read(str(job_set), name)
    handed.train(found, name, ["--data.version", "abc"])
    assert f"made JobSet {name}" in capsys.readouterr().out
    assert fake.created[0]["metadata"]["namespace"] == "podway"
    with pytest.raises(FailedError, match="has failed: it broke"):
        handed.train(found, name, [])
    assert "there is already" in capsys.readouterr().out
    with pytest.raises(FailedError, match="was stopped"):
        handed.train(found, name, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is no JSON"), ('{"kind": "Job"}', "holds no JobSet"), (None, "is no JSON")],
)
def test_files_that_are_no_job_set(tmp_path, text, message):
    file = tmp_path / "job_set.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        handed.read(str(file), "x")


def test_names_that_no_launch_can_have(job_set):
    with pytest.raises(ConfigError, match="--launch-name is 'My_launch'; give small letters"):
        handed.read(str(job_set), "My_launch")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--once", "--job-set", "x"), "--job-set and --launch-name go together"),
        (("--job-set", "x", "--launch-name", "y"), "--job-set goes with --once"),
    ],
)
def test_a_cycle_that_is_told_half(capsys, options, said):
    with pytest.raises(SystemExit):
        cli.main(["loop", "movielens_sasrec", *options])
    assert said in capsys.readouterr().err


# -------------------------------------------------------------------------------- Cloud Run


def test_a_job(capsys):
    code, out, err = run(
        capsys, "cloud-run", "movielens_sasrec", "--workdir", "gs://bucket/w", "--dry-run"
    )
    assert code == 1
    assert kinds(out) == ["Job"]
    assert "target.project is missing" in err


def test_a_job_reads_the_frozen_experiment(tmp_path):
    """The path that it is given is the one that is written, as seen through the mounted bucket."""
    from podway.launch.targets import frozen
    from podway.launch.targets.cloud_run import job

    experiment = experiments.load("movielens_sasrec")
    found = dataclasses.replace(a_job(), frozen=frozen.freeze(experiment))
    spec = job.job(found)["spec"]["template"]["spec"]["template"]["spec"]
    inside = spec["containers"][0]["args"][1]
    here = dataclasses.replace(found, workdir=str(tmp_path))
    cloud_run.put(here)
    file = tmp_path / inside.removeprefix("/podway/bucket/w/")
    assert experiments.load(str(file)) == experiment
    assert json.loads(file.read_text())["name"] == "movielens_sasrec"
