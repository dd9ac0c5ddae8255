"""`podway launch kubernetes`, as far as it goes without a cluster."""

import re
from typing import ClassVar

import pytest
import yaml

from podway.framework import exit_codes
from podway.launch import cli
from podway.launch.targets import frozen
from podway.launch.targets.kubernetes import cluster, follow, status, training
from podway.launch.targets.kubernetes.launch import Launch
from podway.launch.targets.kubernetes.target import Images, Kubernetes
from tests.launch.targets.kubernetes.conftest import DIGEST, an_experiment

GIVEN = [
    *(
        word
        for kind in ("train", "data", "export")
        for word in (f"--target.images.{kind}", DIGEST.format(kind))
    ),
    *("--workdir", "gs://bucket/w", "--skip-preflight"),
]


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main(["launch", *arguments])
    printed = capsys.readouterr()
    return int(end.value.code or 0), printed.out, printed.err


def test_a_dry_run_prints_objects_and_plan(capsys):
    code, out, err = run(capsys, "kubernetes", "movielens_sasrec", "--dry-run", *GIVEN)
    assert code == 0
    kinds = [each["kind"] for each in yaml.safe_load_all(out)]
    assert kinds == ["Namespace", "ServiceAccount", "ConfigMap", "JobSet"]
    assert "movielens_sasrec on v5e:2x2" in err
    assert "USD an hour for 4 chips" in err
    assert "note " not in err, "images/ builds images that have what the demo needs"


def test_a_dry_run_names_what_is_missing(capsys):
    code, _, err = run(capsys, "kubernetes", "movielens_sasrec", "--dry-run", "--skip-preflight")
    assert code == 1
    for part in ("target.images.train is missing", "--workdir is 'workdir'"):
        assert part in err


def test_fields_of_config_and_target_are_options(capsys):
    code, out, err = run(
        capsys,
        *("kubernetes", "movielens_sasrec", "--dry-run", *GIVEN),
        *("--trainer.steps", "7", "--target.accelerator", "v5p:4x4x4", "--target.slices", "2"),
    )
    assert code == 0, err
    objects = {each["kind"]: each for each in yaml.safe_load_all(out)}
    assert '"steps": 7' in objects["ConfigMap"]["data"]["experiment.json"]
    assert objects["JobSet"]["spec"]["replicatedJobs"][1]["replicas"] == 2


def test_objects_go_to_a_folder(capsys, tmp_path):
    code, out, _ = run(
        capsys,
        *("kubernetes", "movielens_sasrec", "--dry-run", *GIVEN, "--output", str(tmp_path / "o")),
    )
    assert code == 0
    assert "4 objects" in out
    assert len(list((tmp_path / "o").glob("*.yaml"))) == 4


TARGET = """
from podway.launch.targets.kubernetes.target import Kubernetes

def target():
    return Kubernetes(accelerator="v6e:4x4", namespace="research")
"""


def test_a_target_has_a_file_of_its_own(capsys, tmp_path):
    path = tmp_path / "pod_of_tests.py"
    path.write_text(TARGET)
    code, out, err = run(
        capsys,
        *(str(path), "movielens_sasrec", "--dry-run", *GIVEN, "--target.capacity", "spot"),
    )
    assert code == 0, err
    job_set = list(yaml.safe_load_all(out))[-1]
    assert job_set["metadata"]["namespace"] == "research"
    pod = job_set["spec"]["replicatedJobs"][1]["template"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"]["cloud.google.com/gke-tpu-accelerator"] == "tpu-v6e-slice"
    assert pod["nodeSelector"]["cloud.google.com/gke-spot"] == "true"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "no function `target()`"),
        ("def target(): return 3", "returns a int"),
        ("def target(:", "line 1|:1:"),
    ],
)
def test_files_that_have_no_target(capsys, tmp_path, text, message):
    path = tmp_path / "pod.py"
    path.write_text(text)
    code, _, err = run(capsys, str(path), "movielens_sasrec", "--dry-run")
    assert code == 1
    assert re.search(message.replace("()", r"\(\)"), err), err


def test_an_unknown_target(capsys):
    code, _, err = run(capsys, "kubernets", "movielens_sasrec")
    assert code == 2
    assert "launch kubernetes" in err


def test_without_a_cluster(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    code, out, err = run(capsys, "kubernetes", "movielens_sasrec", *GIVEN, "--yes")
    assert code == 1
    assert "no cluster to talk to" in err
    assert "launch movielens-sasrec-" in out


def test_without_an_answer_nothing_is_applied(capsys):
    code, _, err = run(capsys, "kubernetes", "movielens_sasrec", "--skip-preflight", "--yes")
    assert code == 1
    assert "nothing is launched: target.images.train" in err


# ------------------------------------------------------------------ what is there already


class FakeCluster:
    """A namespace with one JobSet, or none; remembers what was asked of it, in its order."""

    there: ClassVar[dict | None] = None
    done: ClassVar[list[str]] = []

    def __init__(self, namespace, context=""):
        self.namespace = namespace

    def get(self, version, kind, name):
        return self.there

    def list(self, version, kind, labels="", fields=""):
        return []

    def delete(self, wanted):
        self.done.append("delete")
        type(self).there = None

    def apply(self, objects, *, dry_run=False):
        self.done.append("apply")
        return [f"{each['kind']} {each['metadata']['name']}" for each in objects]


@pytest.fixture
def fake(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(cluster, "Cluster", FakeCluster)
    monkeypatch.setattr(FakeCluster, "there", None)
    monkeypatch.setattr(FakeCluster, "done", [])
    return FakeCluster


LAUNCH = ("kubernetes", "movielens_sasrec", *GIVEN, "--launch-name", "mine", "--detach")


def launched(*, mine: bool = True, condition: str = "", deleted: bool = False) -> dict:
    """The JobSet of a launch, as a cluster has it."""
    experiment = an_experiment()
    images = Images(*(DIGEST.format(kind) for kind in ("train", "data", "export")))
    launch = Launch(
        experiment, frozen.freeze(experiment), Kubernetes(images=images), "gs://bucket/w", "mine"
    )
    found = training.job_set(launch)
    if not mine:
        found["metadata"]["annotations"]["podway.dev/hash"] = "another"
    if deleted:
        found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    conditions = [{"type": condition, "status": "True", "message": "it broke"}]
    return found | {"status": {"conditions": conditions if condition else []}}


def launch(capsys, *more: str) -> tuple[int, str, str]:
    code = 0
    try:
        cli.main(["launch", *LAUNCH, *more])
    except SystemExit as end:
        code = int(end.code or 0)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_name_that_another_launch_has_is_left_to_it(capsys, fake):
    fake.there = launched(mine=False)
    code, _, err = launch(capsys, "--yes")
    assert code == 1
    assert "the name 'mine' is taken by another launch, of other content; give another" in err
    assert fake.done == []


@pytest.mark.parametrize(
    ("there", "options", "code", "said", "done"),
    [
        ({}, (), 0, "mine is there already", []),
        ({"condition": "Completed"}, (), 0, "mine is complete", []),
        ({"condition": "Failed"}, ("--yes",), 1, "mine has failed: it broke. --resume", []),
        ({"condition": "Failed"}, ("--resume",), 1, "nothing is launched; --yes", []),
        ({"condition": "Failed"}, ("--resume", "--yes"), 0, "made JobSet", ["delete", "apply"]),
        ({"deleted": True}, ("--yes",), 0, "waits until what is left", ["delete", "apply"]),
        (None, ("--yes",), 0, "made JobSet mine", ["apply"]),
        (None, (), 1, "nothing is launched; --yes", []),
    ],
)
def test_the_same_command_again(capsys, fake, there, options, code, said, done):
    fake.there = None if there is None else launched(**there)
    found, out, err = launch(capsys, *options)
    assert found == code, err
    assert said in out + err
    assert fake.done == done


def test_one_that_fails_blames_no_option(capsys, fake, monkeypatch):
    fake.there = launched()
    failed = status.Status("failed", "train", ("mine-train-0-0 ended with 1",))
    monkeypatch.setattr(follow, "until_over", lambda *_, **__: failed)
    monkeypatch.setattr("tests.launch.targets.kubernetes.test_verb.LAUNCH", LAUNCH[:-1])
    code, _, err = launch(capsys)
    assert code == 1
    assert err == "podway: error: mine has failed: mine-train-0-0 ended with 1\n"


def test_one_that_somebody_stops_ends_with_a_code_of_its_own(capsys, fake, monkeypatch):
    fake.there = launched()
    stopped = status.Status("stopped", "", ())
    monkeypatch.setattr(follow, "until_over", lambda *_, **__: stopped)
    monkeypatch.setattr("tests.launch.targets.kubernetes.test_verb.LAUNCH", LAUNCH[:-1])
    code, out, _ = launch(capsys)
    assert code == exit_codes.PREEMPTED
    assert "mine was stopped; the same command goes on" in out
