"""`podway launch kubernetes`, as far as it goes without a cluster."""

import re

import pytest
import yaml

from podway.launch import cli
from tests.launch.targets.kubernetes.conftest import DIGEST

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
