"""Real trainings, killed and gone on with, beside a real follower; a database that is away."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest
from etils import epath

from podway.framework.runs import records
from podway.launch import cli
from tests import xla
from tests.launch.test_supervise import SHOP

pytest.importorskip("mlflow", reason="mlflow is missing: pip install 'podway[tracking]'")

from tests.launch.tracking.tracked import client, points, rows, runs

STEPS, KILLED_AT = 1500, 300


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> pathlib.Path:
    """A file of an experiment on a small dataset."""
    folder = tmp_path_factory.mktemp("shop")
    lines = [f"u{u},i{(u * 7 + t) % 40},{t}" for u in range(100) for t in range(5 + u % 9)]
    (folder / "events.csv").write_text("\n".join(["user,item,time", *lines, ""]))
    text = SHOP.format(path=folder / "events.csv").replace("fsdp=2", "fsdp=1")
    (folder / "shop.py").write_text(text)
    return folder / "shop.py"


@pytest.fixture
def workdir(shop, tmp_path) -> pathlib.Path:
    """Of the whole chain, with a version 2."""
    shutil.copytree(shop.run.parent.parent.parent, tmp_path / "w")
    home = tmp_path / "w" / "models" / "shop"
    shutil.copytree(home / "1", home / "2")
    return tmp_path / "w"


def train(config, workdir, uri, *options) -> subprocess.Popen:
    command = [sys.executable, "-m", "podway.launch.cli", "train", str(config)]
    command += ["--workdir", str(workdir), "--tracking.uri", uri, *options]
    environment = os.environ | {"XLA_FLAGS": xla.flags(), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def until(holds, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def done(workdir: pathlib.Path) -> int:
    """The last step of the one run that there is a record of."""
    found = [each for file in workdir.glob("runs/shop/*") if file.is_dir()
             for each in records.read(epath.Path(file) / records.METRICS)]  # fmt: skip
    return max((each["step"] for each in found), default=0)


@pytest.mark.slow
def test_a_training_that_is_killed_says_so_and_the_next_one_goes_on_with_it(
    config, address, tmp_path
):
    workdir, options = tmp_path / "w", ("--trainer.steps", str(STEPS))
    first = train(config, workdir, address.uri, *options)
    until(lambda: done(workdir) >= KILLED_AT or first.poll() is not None)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    at = done(workdir)
    until(lambda: [each.info.status for each in runs(address).values()] == ["KILLED"])
    (run,) = runs(address).values()
    assert "ended without a word" in run.data.tags["podway.problem"]
    assert points(address, run, "loss")[-1][0] == at

    second = train(config, workdir, address.uri, *options)
    assert second.wait() == 0, second.stderr
    (again,) = runs(address).values()
    assert again.info.run_id == run.info.run_id
    assert again.info.status == "FINISHED"
    assert "podway.problem" not in again.data.tags
    assert again.data.tags["podway.sessions"] == "2"
    steps = [step for step, _ in points(address, again, "loss")]
    assert steps == list(range(5, STEPS + 1, 5))
    (told,) = again.inputs.dataset_inputs
    assert (told.dataset.name, told.dataset.digest) == tuple(
        again.data.tags["podway.dataset"].split()
    )

    before = rows(address)
    third = train(config, workdir, address.uri, *options)
    assert third.wait() == 0
    assert rows(address) == before


@pytest.mark.slow
def test_a_database_that_is_away_costs_a_warning_and_no_step(config, address, tmp_path):
    workdir = tmp_path / "w"
    options = ("--trainer.steps", "60")
    away = train(config, workdir, "postgresql://nobody@127.0.0.1:1/none", *options)
    said = away.communicate()[1]
    assert away.returncode == 0, said
    assert "podway: tracking: postgresql+psycopg://nobody@127.0.0.1:1/none does not take" in said
    assert f"`podway track {workdir}` tells" in said
    assert done(workdir) == 60
    # Afterwards one command tells it all.
    cli.main(["track", str(workdir), "--uri", address.uri])
    (run,) = runs(address).values()
    assert (run.info.status, run.data.metrics["loss"] > 0) == ("FINISHED", True)
    before = rows(address)
    cli.main(["track", str(pathlib.Path(run.data.tags["podway.place"])), "--uri", address.uri])
    assert rows(address) == before


@pytest.mark.slow
def test_a_registry_follows_a_promotion_that_waits_for_nobody(workdir, address, capsys):
    cli.main(["registry", "rebuild", "--workdir", str(workdir), "--uri", address.uri])
    (stored,) = workdir.glob("runs/shop/*/experiment.json")
    text = json.loads(stored.read_text()) | {"tracking": {"uri": address.uri, "experiment": ""}}
    stored.write_text(json.dumps(text))
    began = time.monotonic()
    cli.main(["promote", "shop", "2", "--workdir", str(workdir)])
    assert time.monotonic() - began < 5
    ask = client(address)
    until(lambda: ask.get_registered_model("shop").aliases == {"champion": 2})
    assert "tracking" not in capsys.readouterr().err


def test_what_is_neither_a_run_nor_a_workdir_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for command, says in (
        (["track", str(tmp_path), "--uri", "sqlite:///x.db"], "is neither a run nor a workdir"),
        (["track", str(tmp_path / "runs" / "a"), "--uri", "x"], "is neither a run nor"),
    ):
        with pytest.raises(SystemExit):
            cli.main(command)
        assert says in capsys.readouterr().err
    (tmp_path / "runs").mkdir()
    with pytest.raises(SystemExit):
        cli.main(["track", str(tmp_path)])
    assert "--uri is missing" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["track", str(tmp_path), "--uri", "mongodb://x"])
    assert "--uri is 'mongodb://x'; give sqlite:///FILE" in capsys.readouterr().err
