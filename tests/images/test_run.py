"""The images, built and run: as nobody, a step of training, a save at SIGTERM, an answering server."""

import json
import pathlib
import shutil

import pytest

from podway.framework import exit_codes
from tests.images import engine
from tests.launch.test_supervise import SHOP

pytestmark = [pytest.mark.extensive, pytest.mark.timeout(3600)]

NOBODY = 10001
WAIT_FOR = "for _ in $(seq 600); do {ready} && break; sleep 0.2; done"


@pytest.fixture(scope="module", autouse=True)
def _base(tmp_path_factory) -> None:
    if why := engine.missing():
        pytest.skip(f"no image is built: {why}")
    engine.make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def trainer(tmp_path_factory) -> str:
    """The image that trains on CPUs."""
    return engine.build("train-cpu", tmp_path_factory.mktemp("build"))


@pytest.fixture
def work(tmp_path) -> pathlib.Path:
    """A folder that the images may write into, with a config and its dataset."""
    from podway.launch import cli

    rows = [f"u{user},i{(user * 7 + time) % 40},{time}" for user in range(60) for time in range(9)]
    (tmp_path / "events.csv").write_text("\n".join(["user,item,time", *rows, ""]))
    (tmp_path / "shop.py").write_text(SHOP.format(path=tmp_path / "events.csv"))
    cli.main(["data", str(tmp_path / "shop.py"), "--workdir", str(tmp_path / "w")])
    for path in [tmp_path, *tmp_path.rglob("*")]:
        shutil.chown(path, NOBODY)
    return tmp_path


def train(*options: str) -> list[str]:
    return ["train", "/work/shop.py", "--workdir", "/work/w", "--mesh.fsdp", "1", *options]


def test_it_is_podway_and_nobody(trainer):
    said = engine.container(trainer, name="podway-help")
    assert said.stdout.strip() == "0", said.stderr
    assert "usage: podway" in said.stdout + said.stderr
    inspected = engine.run(["buildah", "inspect", "--type", "image", trainer])
    config = json.loads(inspected.stdout)["OCIv1"]["config"]
    assert config["User"] == str(NOBODY)
    assert config["Entrypoint"] == ["podway"]
    assert config["StopSignal"] == "SIGTERM"
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == "podway-train-cpu"
    assert labels["org.opencontainers.image.version"] in trainer
    assert labels["org.opencontainers.image.revision"][:12] in trainer


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
    assert str(NOBODY) in words
    assert "jax" in words
    assert not {"pip", "gcc", "make", "uv", "tensorflow", "apache_beam"} & set(words)


def test_a_trainer_steps_saves_at_sigterm_and_goes_on(trainer, work):
    mounts = {work: "/work"}
    found = (work / "w").glob("runs/shop/*/metrics.jsonl")
    ready = f"grep -qs loss {work}/w/runs/shop/*/metrics.jsonl"
    then = WAIT_FOR.format(ready=ready) + '; podman stop --time 60 "$NAME" >/dev/null;'
    then += " podman inspect --format '{{.State.ExitCode}}' \"$NAME\""
    steps = ["--trainer.steps", "100000", "--trainer.log-every", "1"]
    said = engine.container(trainer, *train(*steps), name="podway-stop", mounts=mounts, then=then)
    assert said.stdout.split()[-1] == str(exit_codes.PREEMPTED), said.stderr[-3000:]
    (metrics,) = found
    done = json.loads(metrics.read_text().splitlines()[-1])["step"]
    assert (metrics.parent / "checkpoints" / str(done)).is_dir()

    said = engine.container(
        trainer, *train("--trainer.steps", "3"), name="podway-end", mounts=mounts
    )
    assert said.stdout.strip() == "0", said.stderr[-3000:]
    assert list((work / "w").glob("runs/shop/*/manifest.json"))


def test_what_the_user_must_mend_ends_with_1(trainer):
    said = engine.container(trainer, "train", "no_such_config", name="podway-mistake")
    assert said.stdout.strip() == str(exit_codes.REFUSED)
    assert "no_such_config" in said.stderr


def test_a_server_answers(work, tmp_path_factory):
    from podway.launch import cli
    from tests.cluster.control_plane import free_ports

    image = engine.build("server", tmp_path_factory.mktemp("build"))
    flags = ["--mesh.fsdp", "1", "--trainer.steps", "20"]
    cli.main(["run", str(work / "shop.py"), "--workdir", str(work / "w"), *flags])
    models = work / "w" / "models" / "shop"
    grpc, rest = free_ports(2)
    url = f"http://127.0.0.1:{rest}/v1/models/shop"
    ready = f"curl --silent --fail {url}"
    then = WAIT_FOR.format(ready=ready) + '; podman stop --time 30 "$NAME" >/dev/null;'
    then += " podman inspect --format '{{.State.ExitCode}}' \"$NAME\""
    serve = ["serve", "shop", "--workdir", "/work/w", "--port", str(grpc), "--rest-port", str(rest)]
    said = engine.container(image, *serve, name="podway-serve", mounts={work: "/work"}, then=then)
    assert models.is_dir()
    assert '"state": "AVAILABLE"' in said.stdout, said.stderr[-3000:]
    assert said.stdout.split()[-1] == "0"
