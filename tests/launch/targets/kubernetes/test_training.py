import contextlib
import copy
import dataclasses
import pathlib

import kubernetes_validate
import pytest
import yaml

from podway.framework import exit_codes
from podway.framework.config import Mesh
from podway.framework.error import ConfigError
from podway.launch.targets import frozen
from podway.launch.targets.frozen import Frozen
from podway.launch.targets.kubernetes import check, training, yaml_text
from podway.launch.targets.kubernetes.launch import Launch, check_mesh, check_trained_in_steps
from podway.launch.targets.kubernetes.target import Bucket, Claim, Images, Kubernetes
from tests.launch.targets.kubernetes.conftest import IMAGES, a_launch, an_experiment

GOLDEN = pathlib.Path(__file__).parents[3] / "golden" / "launch"

TARGETS = {
    "tpu": {
        "accelerator": "v5e:4x4",
        "slices": 2,
        "capacity": "spot",
        "queue": "research",
        "priority": "high",
        "google_service_account": "trainer@project.iam.gserviceaccount.com",
    },
    "gpu": {"accelerator": "h100:16", "buckets": (Bucket("logs", "/logs", read_only=True),)},
    "cpu": {
        "accelerator": "cpu:2",
        "provider": "any",
        "claims": (Claim("shared", "/shared"),),
        "environment": ("XLA_FLAGS=--xla_dump_to=/tmp/x",),
    },
}
"""Fields of the targets of the golden files."""


@pytest.mark.parametrize("name", TARGETS)
def test_golden(name):
    """`python -m tests.launch.targets.kubernetes.test_training` writes them anew."""
    assert yaml_text.of(without_experiment(name)) == (GOLDEN / f"{name}.yaml").read_text()


def without_experiment(name: str) -> list[dict]:
    """The objects; the experiment itself has golden files of its own."""
    objects = training.objects(a_launch(**TARGETS[name]), submitted=1_700_000_000)
    for each in objects:
        if each["kind"] == "ConfigMap":
            each["data"] = dict.fromkeys(each["data"], "…")
    digest = a_launch(**TARGETS[name])
    text = yaml_text.of(objects)
    for changing in (digest.hash, digest.hash[:6], digest.frozen.hash[:8]):
        text = text.replace(changing, "0" * len(changing))
    return list(yaml.safe_load_all(text))


@pytest.mark.parametrize("name", TARGETS)
def test_no_check_has_a_word(name):
    launch = a_launch(**TARGETS[name])
    assert not check.problems(training.objects(launch))
    assert not launch.problems()


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_no_custom_resource_is_valid(name):
    objects = training.objects(a_launch(**TARGETS[name]))
    jobs = [
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, **job["template"]}
        for job in objects[-1]["spec"]["replicatedJobs"]
    ]
    for job in jobs:
        job["metadata"] = {"name": "x"}
    for each in [*objects[:-1], *jobs]:
        kubernetes_validate.validate(each, "1.35", strict=True)


def test_exit_codes_decide(launch):
    """What a restart helps is not among the codes that end the JobSet, and the other way round."""
    job_set = training.job_set(launch)
    rules = {job["name"]: job["template"]["spec"] for job in job_set["spec"]["replicatedJobs"]}
    for name in ("data", "train", "export"):
        final = rules[name]["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]
        for code, ending in exit_codes.ENDINGS.items():
            assert (code in final) == (code != exit_codes.COMPLETE and not ending.restart)
    first, second = job_set["spec"]["failurePolicy"]["rules"]
    assert first["action"] == "RestartJobSetAndIgnoreMaxRestarts"
    assert f"exit code {exit_codes.PREEMPTED} " in first["onJobFailureMessagePatterns"]
    assert second["action"] == "FailJobSet"


def test_the_same_config_is_the_same_launch(launch):
    assert a_launch(accelerator="v5e:4x4").name == launch.name
    elsewhere = dataclasses.replace(launch, workdir="gs://bucket/other")
    assert elsewhere.name != launch.name
    other = dataclasses.replace(an_experiment(), name="other_name")
    assert dataclasses.replace(launch, frozen=frozen.freeze(other)).name != launch.name


def test_pods_of_gpus_name_the_first_one():
    container = _container(training.job_set(a_launch(accelerator="h100:16")), "train")
    options = " ".join(container["args"])
    assert "--num-processes 2 --process-id $(JOB_COMPLETION_INDEX)" in options
    named = {variable["name"] for variable in container["env"]}
    assert {"JOBSET_NAME", "REPLICATED_JOB_NAME", "JOB_COMPLETION_INDEX"} <= named


@pytest.mark.parametrize(
    ("accelerator", "options"), [("v5e:4x4", True), ("v5e:2x2", False), ("h100:8", False)]
)
def test_one_process_meets_nobody(accelerator, options):
    container = _container(training.job_set(a_launch(accelerator=accelerator)), "train")
    assert ("--distributed" in container["args"]) == options
    assert "--coordinator" not in container["args"]


def test_binary_sources():
    found = Frozen({"experiment.json": b"{}", "source0/a.bin": b"\xff"})
    launch = dataclasses.replace(a_launch(), frozen=found)
    config_map = training.config_map(launch)
    assert config_map["data"] == {"experiment.json": "{}"}
    assert config_map["binaryData"] == {"source0__a.bin": "/w=="}
    assert not check.problems(training.objects(launch))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"experiment.json": b" " * 1_100_000}, "1,100,000 bytes"),
        ({"source0/ä.py": b""}, "rename"),
    ],
)
def test_sources_that_no_config_map_holds(files, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(a_launch(), frozen=Frozen(files))


def test_what_must_be_mended_first():
    experiment = an_experiment()
    data = dataclasses.replace(
        experiment.data, path="events.csv", format=type(experiment.data.format)()
    )
    local = Launch(experiment, frozen.freeze(experiment), Kubernetes(), "w")
    said = " ".join(local.problems())
    for part in ("target.images.train", "target.images.export", "--workdir is 'w'"):
        assert part in said
    assert data.path == "events.csv"


def test_fitted_models_take_one_host():
    from podway.launch import experiments

    experiment = experiments.load("movielens_ease")
    target = Kubernetes(accelerator="v5e:4x4", images=IMAGES)
    launch = Launch(experiment, frozen.freeze(experiment), target, "gs://bucket/w")
    with pytest.raises(ConfigError, match="one host"):
        check_trained_in_steps(launch)


@pytest.mark.parametrize(
    ("fields", "mesh", "said"),
    [
        ({"accelerator": "cpu:1"}, Mesh(fsdp=2), "'cpu:1': .*asks for 2 devices; there are 1"),
        ({"accelerator": "v5e:4x4"}, Mesh(fsdp=32), "'v5e:4x4': .*32 devices; there are 16"),
        ({"accelerator": "v5e:4x4", "slices": 2}, Mesh(slice=3), "slices 2: mesh.slice is 3"),
        ({"accelerator": "v5e:4x4", "slices": 2}, Mesh(fsdp=16), ""),
        ({"accelerator": "cpu:1", "environment": ("XLA_FLAGS=--x",)}, Mesh(fsdp=2), ""),
    ],
)
def test_a_mesh_that_the_devices_do_not_have_is_refused_before_it_is_launched(fields, mesh, said):
    launch = a_launch(**fields)
    launch = dataclasses.replace(
        launch, experiment=dataclasses.replace(launch.experiment, mesh=mesh)
    )
    with pytest.raises(ConfigError, match=said) if said else contextlib.nullcontext():
        check_mesh(launch)


@pytest.mark.parametrize("image", ["podway:1", "podway", "podway@sha256:12"])
def test_images_by_digest(image):
    with pytest.raises(ConfigError, match=r"target\.images\.train"):
        Images(train=image)


def test_it_trains_on_what_is_rented_or_not_at_all():
    def named(**fields: object) -> list[str]:
        made = training.objects(a_launch(**fields))[-1]
        variables = _container(made, "train").get("env", [])
        return [each["value"] for each in variables if each["name"] == "JAX_PLATFORMS"]

    assert named(accelerator="v5e:4x4") == ["tpu,cpu"]
    assert named(accelerator="h100:8") == ["cuda,cpu"]
    assert named(accelerator="cpu:1") == []
    assert named(accelerator="h100:8", environment=("JAX_PLATFORMS=cpu",)) == ["cpu"]


def _container(job_set: dict, name: str) -> dict:
    (job,) = [job for job in job_set["spec"]["replicatedJobs"] if job["name"] == name]
    return job["template"]["spec"]["template"]["spec"]["containers"][0]


def _job(objects: list[dict]) -> dict:
    return objects[-1]["spec"]["replicatedJobs"][1]


def _pod(objects: list[dict]) -> dict:
    return _job(objects)["template"]["spec"]["template"]["spec"]


BROKEN = {
    "is no label of DNS": lambda objects: objects[-1]["metadata"].update(name="my_launch"),
    "longer than 63": lambda objects: objects[-1]["metadata"]["labels"].update(x="y" * 64),
    "unknown annotation": lambda objects: objects[-1]["metadata"]["annotations"].update(x="y"),
    "not named by its digest": lambda objects: _pod(objects)["containers"][0].update(image="x:1"),
    "no volume is called": lambda objects: _pod(objects)["volumes"].pop(),
    "looks like a secret": lambda objects: _pod(objects)["containers"][0]["env"].append(
        {"name": "API_TOKEN", "value": "x"}
    ),
    "maxRestarts": lambda objects: objects[-1]["spec"]["failurePolicy"].update(maxRestarts=0),
    "would have": lambda objects: objects[-1]["metadata"].update(name="a" * 50),
    "which is not there": lambda objects: _job(objects)["dependsOn"][0].update(name="nobody"),
    "restartPolicy": lambda objects: _pod(objects).update(restartPolicy="OnFailure"),
    "no container of it": lambda objects: _job(objects)["template"]["spec"]["podFailurePolicy"][
        "rules"
    ][0]["onExitCodes"].update(containerName="main"),
    "chips a slice": lambda objects: _job(objects)["template"]["spec"].update(parallelism=3),
    "there is no ConfigMap": lambda objects: objects.pop(2),
    "lacks": lambda objects: objects[2]["data"].clear(),
}
"""What a check says → how an object is broken so that it does."""


@pytest.mark.parametrize("said", BROKEN)
def test_each_check_catches_its_error(said):
    objects = copy.deepcopy(training.objects(a_launch(**TARGETS["tpu"])))
    BROKEN[said](objects)
    assert any(said in problem for problem in check.problems(objects)), said


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for target in TARGETS:
        (GOLDEN / f"{target}.yaml").write_text(yaml_text.of(without_experiment(target)))
