"""Trainers' images, built and run: nobody's rights, a training that saves at SIGTERM.

Those for TPUs and GPUs train on the CPU here.
"""

import json
import pathlib
import shutil

import pytest

from podway.framework import exit_codes
from podway.framework.devices import cuda
from podway.launch import cli
from tests.images import engine
from tests.launch.test_supervise import SHOP

pytestmark = [pytest.mark.extensive, pytest.mark.timeout(3600)]

WAIT_FOR = "for _ in $(seq 600); do {ready} && break; sleep 0.2; done"


@pytest.fixture(scope="module")
def trainer(image) -> str:
    """The image that trains on CPUs."""
    return image("train-cpu")


@pytest.fixture(scope="module", params=["train-cpu", "train-tpu", "train-cuda"])
def any_trainer(image, request) -> str:
    """Each image that trains."""
    return image(request.param)


@pytest.fixture
def work(tmp_path) -> pathlib.Path:
    """A folder that the images may write into, with a config and its dataset."""
    rows = [f"u{user},i{(user * 7 + time) % 40},{time}" for user in range(60) for time in range(9)]
    (tmp_path / "events.csv").write_text("\n".join(["user,item,time", *rows, ""]))
    (tmp_path / "shop.py").write_text(SHOP.format(path=tmp_path / "events.csv"))
    cli.main(["data", str(tmp_path / "shop.py"), "--workdir", str(tmp_path / "w")])
    for path in [tmp_path, *tmp_path.rglob("*")]:
        shutil.chown(path, engine.NOBODY)
    return tmp_path


def train(work: pathlib.Path, *options: str) -> list[str]:
    config = str(work / "shop.py")
    return ["train", config, "--workdir", str(work / "w"), "--mesh.fsdp", "1", *options]


ON_CPU = {"JAX_PLATFORMS": "cpu"}


def test_it_is_podway_and_nobody(any_trainer):
    said = engine.container(any_trainer, name="podway-help")
    assert said.stdout.strip() == "0", said.stderr
    assert "usage: podway" in said.stdout + said.stderr
    inspected = engine.run(["buildah", "inspect", "--type", "image", any_trainer])
    config = json.loads(inspected.stdout)["OCIv1"]["config"]
    assert config["User"] == str(engine.NOBODY)
    assert config["Entrypoint"] == ["podway"]
    assert config["StopSignal"] == "SIGTERM"
    labels = config["Labels"]
    name = any_trainer.rpartition("/")[2].partition(":")[0]
    assert labels["org.opencontainers.image.title"] == f"podway-{name}"
    assert labels["org.opencontainers.image.version"] in any_trainer
    assert labels["org.opencontainers.image.revision"][:12] in any_trainer


def test_of_another_commit_little_is_moved(image):
    """Podway's own files are a layer by themselves, over that of its packages."""
    told = engine.run(["podman", "history", "--format", "json", image("online")]).stdout
    copied = [each["size"] for each in json.loads(told) if "COPY" in each["CreatedBy"]]
    assert len(copied) == 2
    assert copied[0] < 40e6 < 60e6 < copied[1], "the last one first"


def test_it_has_no_tools_that_built_it(trainer):
    """Beside the base: no compiler, no pip in its environment, none of another image's packages."""
    then = (
        'podman exec "$NAME" sh -c \'command -v gcc cc make uv; ls /wheels /source /build;'
        " id -u; ls /opt/podway/bin; ls /opt/podway/lib/python3*/site-packages'; podman kill $NAME"
    )
    keep = ["-c", "import time; time.sleep(600)"]
    said = engine.container(
        trainer, *keep, name="podway-tools", then=then, entrypoint="/opt/podway/bin/python"
    )
    words = said.stdout.split()
    assert str(engine.NOBODY) in words
    assert "jax" in words
    others = {"apache_beam", "polars", "tensorflow"}
    assert not {"pip", "gcc", "make", "uv", *others} & set(words)


def test_a_trainer_saves_at_sigterm_and_ends_with_a_code_of_its_own(any_trainer, work):
    ready = f"grep -qs loss {work}/w/runs/shop/*/metrics.jsonl"
    command = train(work, "--trainer.steps", "100000", "--trainer.log-every", "1")
    then = WAIT_FOR.format(ready=ready) + engine.STOP
    said = engine.container(
        any_trainer,
        *command,
        name="podway-stop",
        mounts={work: work},
        then=then,
        environment=ON_CPU,
    )
    assert said.stdout.split()[-1] == str(exit_codes.PREEMPTED), said.stderr[-3000:]
    (metrics,) = (work / "w").glob("runs/shop/*/metrics.jsonl")
    done = json.loads(metrics.read_text().splitlines()[-1])["step"]
    assert (metrics.parent / "checkpoints" / str(done)).is_dir()


def test_a_complete_training_ends_with_0(any_trainer, work):
    command = train(work, "--trainer.steps", "3")
    said = engine.container(
        any_trainer, *command, name="podway-end", mounts={work: work}, environment=ON_CPU
    )
    assert said.stdout.strip() == str(exit_codes.COMPLETE), said.stderr[-3000:]
    assert list((work / "w").glob("runs/shop/*/manifest.json"))


def test_libtpu_can_be_loaded_where_there_is_no_tpu(image):
    ask = "import ctypes, libtpu; ctypes.CDLL(libtpu.get_library_path()); print('it is there')"
    said = engine.container(
        *(image("train-tpu"), "-c", ask),
        name="podway-libtpu",
        entrypoint="/opt/podway/bin/python",
    )
    assert said.stdout.strip() == "0", said.stderr[-3000:]
    assert "it is there" in said.stderr


CUDA = """
import ctypes, glob, subprocess
import jax_plugins.xla_cuda13 as plugin
import nvidia

(packages,) = nvidia.__path__
names = "cublas cublasLt cudart cufft cupti cusolver cusparse nvJitLink nvrtc cudnn nccl"
for name in names.split():
    (library,) = glob.glob(f"{packages}/*/lib/lib{name}.so.*")
    ctypes.CDLL(library)
ctypes.CDLL(plugin.__path__[0] + "/xla_cuda_plugin.so")
ptxas = subprocess.run([f"{packages}/cu13/bin/ptxas", "--version"], capture_output=True, text=True)
print("all there" if "release 13" in ptxas.stdout else ptxas)
"""


def test_cudas_libraries_can_be_loaded_where_there_is_no_gpu(image):
    """And its compiler runs, by nobody."""
    said = engine.container(
        image("train-cuda"), "-c", CUDA, name="podway-cuda", entrypoint="/opt/podway/bin/python"
    )
    assert said.stdout.strip() == "0", said.stderr[-3000:]
    assert "all there" in said.stderr


def test_without_a_gpu_it_trains_on_the_cpu_and_says_so(image, work):
    command = train(work, "--trainer.steps", "3")
    said = engine.container(image("train-cuda"), *command, name="podway-cpu", mounts={work: work})
    assert said.stdout.strip() == str(exit_codes.COMPLETE), said.stderr[-3000:]
    assert f"podway: JAX computes on the CPU: {cuda.NO_DRIVER}" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize(
    ("name", "platforms", "code", "why"),
    [
        ("train-cuda", "cuda,cpu", exit_codes.CRASHED, cuda.NO_DRIVER),
        ("train-cpu", "cuda,cpu", exit_codes.REFUSED, "its plugin is not installed"),
        ("train-cpu", "tpu,cpu", exit_codes.REFUSED, "libtpu is not installed"),
    ],
)
def test_in_a_launch_that_rents_accelerators_it_does_not(image, work, name, platforms, code, why):
    said = engine.container(
        *(image(name), *train(work, "--trainer.steps", "3")),
        name="podway-rented",
        mounts={work: work},
        environment={"JAX_PLATFORMS": platforms},
    )
    assert said.stdout.strip() == str(code), said.stderr[-3000:]
    asked = platforms.partition(",")[0]
    assert f"podway: error: JAX_PLATFORMS asks for {asked}, and {why}" in said.stderr
    assert "Traceback" not in said.stderr


def test_what_the_user_must_mend_ends_with_1(trainer):
    said = engine.container(trainer, "train", "no_such_config", name="podway-mistake")
    assert said.stdout.strip() == str(exit_codes.REFUSED)
    assert "no_such_config" in said.stderr
