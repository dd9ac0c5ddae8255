"""The demo from raw data to an answer, each stage in its image; and a cycle of the loop."""

import json
import pathlib
import shutil

import pytest
import yaml

from podway.export import layout
from podway.framework import exit_codes
from podway.launch import demo, experiments
from podway.launch.targets import frozen
from podway.launch.targets.kubernetes import training
from tests.images import engine
from tests.images.serving import WORKDIR, serve, wait_for
from tests.launch.targets.kubernetes.conftest import a_launch

pytestmark = [pytest.mark.extensive, pytest.mark.timeout(3600)]

STEPS = 4
FEW = [
    *("--trainer.steps", str(STEPS), "--trainer.evaluate-every", str(STEPS)),
    *("--trainer.checkpoint-every", str(STEPS), "--evaluation.bootstrap", "10"),
]
PRINTED = 'podman wait "$NAME" >/dev/null; podman logs "$NAME" 2>/dev/null'
"""Of a shell: what the container wrote, without its log."""


@pytest.fixture(scope="module")
def workdir(tmp_path_factory) -> pathlib.Path:
    """A folder that the images may write into, with the demo as a launch has it."""
    folder = tmp_path_factory.mktemp("workdir")
    shutil.chown(folder, engine.NOBODY)
    for path, content in frozen.freeze(experiments.load(demo.MODEL)).files.items():
        (folder / path).write_bytes(content)
    return folder


def podway(image: str, workdir: pathlib.Path, verb: str, *options: str) -> str:
    """Runs a stage to its end; what it printed."""
    command = [verb, str(WORKDIR / frozen.FILE), "--workdir", str(WORKDIR), *options]
    mounts = {workdir: WORKDIR}
    said = engine.container(image, *command, name=f"podway-chain-{verb}", mounts=mounts)
    assert said.stdout.strip() == str(exit_codes.COMPLETE), said.stderr[-4000:]
    return said.stderr


def only(workdir: pathlib.Path, pattern: str) -> pathlib.Path:
    (found,) = workdir.glob(pattern)
    return found


@pytest.fixture(scope="module")
def dataset(image, workdir) -> pathlib.Path:
    """Built by the worker's image."""
    podway(image("worker"), workdir, "data")
    return only(workdir, "datasets/movielens/*/manifest.json").parent


@pytest.fixture(scope="module")
def trained(image, workdir, dataset) -> pathlib.Path:
    """A run of the trainer's image, which reads no raw data."""
    podway(image("train-cpu"), workdir, "train", *FEW)
    return only(workdir, f"runs/{demo.MODEL}/*/manifest.json").parent


@pytest.fixture(scope="module")
def published(image, workdir, trained) -> pathlib.Path:
    """A model of the exporter's image, made as the last part of a launch does."""
    podway(image("export"), workdir, "run", *FEW)
    return only(workdir, f"models/{demo.MODEL}/*/saved_model.pb").parent


def test_the_worker_builds_what_the_demo_is_trained_on(dataset):
    assert json.loads((dataset / "manifest.json").read_text())["kind"] == "dataset"


def test_a_trainer_without_a_dataset_says_who_builds_it(image, tmp_path):
    shutil.chown(tmp_path, engine.NOBODY)
    command = ["train", demo.MODEL, "--workdir", str(WORKDIR)]
    said = engine.container(
        image("train-cpu"), *command, name="podway-chain-none", mounts={tmp_path: WORKDIR}
    )
    assert said.stdout.strip() == str(exit_codes.REFUSED), said.stderr
    assert "run `podway data movielens_sasrec --workdir /workdir`" in said.stderr
    assert not list(tmp_path.glob("datasets/*/*"))


def test_a_trainer_finds_the_workers_dataset(trained, dataset):
    made_of = json.loads((trained / "manifest.json").read_text())["inputs"]
    assert dataset.name in json.dumps(made_of)
    lines = (trained / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == STEPS


def test_an_exporter_publishes_the_trainers_run(published, trained):
    assert trained.name in (published / layout.MANIFEST).read_text()


def test_a_server_answers_by_the_exporters_model(image, workdir, published):
    flags = f"--model_config_file={WORKDIR}/models/models.config"
    with serve(image("server"), workdir, flags) as (_, rpc, rest):
        wait_for(f"http://{rest}/v1/models/{demo.MODEL}")
        asked = ["1", "50", "no such film"]
        answer = demo.ask_rest(rest, asked)
        assert len(answer) > demo.SHOWN
        assert not {*asked} & {*answer}
        assert demo.ask_grpc(rpc, asked) == answer


def test_a_cycle_in_the_exporters_image_hands_its_training_over(image, workdir, dataset, tmp_path):
    """It has the cluster's client; and here no cluster. What it has done is not lost."""
    own = tmp_path / "cycle"
    shutil.copytree(workdir / "datasets", own / "datasets")
    (own / frozen.FILE).write_bytes((workdir / frozen.FILE).read_bytes())
    (own / "job_set.json").write_text(json.dumps(training.alone(a_launch(accelerator="v5e:4x4"))))
    for path in [own, *own.rglob("*")]:
        shutil.chown(path, engine.NOBODY)
    said = engine.container(
        image("export"),
        *("loop", str(WORKDIR / frozen.FILE), "--once", "--workdir", str(WORKDIR)),
        *("--job-set", str(WORKDIR / "job_set.json"), "--launch-name", "again"),
        name="podway-chain-loop",
        mounts={own: WORKDIR},
    )
    assert said.stdout.strip() == str(exit_codes.REFUSED), said.stderr[-3000:]
    assert "no cluster to talk to" in said.stderr
    assert "Traceback" not in said.stderr
    cycle = json.loads((own / f"loops/{demo.MODEL}/cycles/000001.json").read_text())
    assert (cycle["step"], cycle["outcome"]) == ("train", "")
    assert cycle["dataset"] == dataset.name


def test_a_trainers_image_renders_a_launch(image):
    command = ["launch", "kubernetes", demo.MODEL, "--dry-run", "--skip-preflight"]
    said = engine.container(image("train-cpu"), *command, name="podway-chain-launch", then=PRINTED)
    kinds = [each["kind"] for each in yaml.safe_load_all(said.stdout)]
    assert kinds == ["Namespace", "ServiceAccount", "ConfigMap", "JobSet"], said.stderr
