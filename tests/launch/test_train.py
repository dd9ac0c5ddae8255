"""`podway train --more`, `podway lr-find`, and a second `podway train` beside a first one."""

import os
import pathlib
import re
import signal
import subprocess
import time

import pytest
from etils import epath

from podway.framework import artifact, exit_codes
from podway.framework.runs import goodput, lock
from podway.launch import cli
from podway.launch.tracking import others, place
from tests import forked, xla
from tests.launch.test_supervise import SHOP

QUICK = ["--trainer.steps", "20", "--mesh.fsdp", "1", "--trainer.evaluate-every", "10"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> pathlib.Path:
    """A config of a small dataset, whose learning rate does not depend on the number of steps."""
    folder = tmp_path_factory.mktemp("shop")
    rows = [
        f"u{user},i{(user * 7 + time) % 40},{time}"
        for user in range(100)
        for time in range(5 + user % 9)
    ]
    (folder / "events.csv").write_text("\n".join(["user,item,time", *rows, ""]))
    text = SHOP.format(path=folder / "events.csv").replace(
        "warmup_steps=5", 'warmup_steps=5, schedule="constant"'
    )
    (folder / "shop.py").write_text(text)
    return folder / "shop.py"


@pytest.fixture(scope="module")
def workdir(shop, tmp_path_factory) -> pathlib.Path:
    """Where a run of 20 steps has finished."""
    path = tmp_path_factory.mktemp("w")
    cli.main(["train", str(shop), "--workdir", str(path), *QUICK])
    return path


def manifests(workdir: pathlib.Path) -> dict[int, artifact.Manifest]:
    """By their steps, those of all runs."""
    found = [
        artifact.read(path.parent, "run") for path in workdir.glob("runs/shop/*/manifest.json")
    ]
    return {each.details["steps"]: each for each in found}


def training(workdir: pathlib.Path) -> lock.Holder | None:
    """Who trains one of the runs."""
    for file in workdir.glob("runs/shop/_lock-*.json"):
        return lock.holder_of(epath.Path(file.parent / file.stem.removeprefix("_lock-")))
    return None


def sessions(workdir: pathlib.Path) -> list[int]:
    """Of each run the processes that have trained it."""
    found = [goodput.read(path) for path in workdir.glob("runs/shop/*/goodput.json")]
    return [record["sessions"] for record in found if record]


def test_more_goes_on_from_the_finished_run_and_once_more(shop, workdir, capsys):
    command = ["train", str(shop), "--workdir", str(workdir), *QUICK]
    cli.main([*command, "--more", "10", "5"])
    found = manifests(workdir)
    assert sorted(found) == [20, 30, 35]
    assert "parent" not in found[20].inputs
    assert found[30].inputs["parent"] == found[20].version
    assert found[35].inputs["parent"] == found[30].version
    capsys.readouterr()
    cli.main([*command, "--more", "10"])
    said = re.findall(r"train: (up to date|building)", capsys.readouterr().out)
    assert said == ["up to date", "up to date"]
    assert sorted(manifests(workdir)) == [20, 30, 35]


def test_more_of_what_has_not_finished_is_refused_where_several_train(shop, tmp_path, capsys):
    command = ["train", str(shop), "--workdir", str(tmp_path), *QUICK, "--num-processes", "2"]
    with pytest.raises(SystemExit):
        cli.main([*command, "--more", "10"])
    assert "has not finished; train it first" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main([*command, "--more", "0"])
    assert "--more is 0; give 1 step or more" in capsys.readouterr().err


def test_a_learning_rate_is_found_and_drawn(shop, workdir, capsys):
    cli.main(["lr-find", str(shop), "--workdir", str(workdir), "--steps", "60", "--mesh.fsdp", "1"])
    said = capsys.readouterr().out
    rate = float(re.findall(r"suggestion: --optimizer.learning-rate (\S+)", said)[0])
    assert 1e-5 < rate < 3
    page = (workdir / "lr_find" / "shop.html").read_text()
    assert "<svg" in page
    assert "Learning rate of shop" in page
    ((kind, directory),) = others.found(epath.Path(workdir))
    (told,) = others.read(kind, directory)
    assert {each.name: each.value for each in told.results}["suggestion"] == pytest.approx(
        rate, 0.1
    )
    steps = {
        name: [each.step for each in told.curve if each.name == name] for name in ("loss", "rate")
    }
    assert steps["loss"] == steps["rate"] == list(range(1, len(steps["loss"]) + 1))
    assert 30 < len(steps["loss"]) <= 60, "it may have diverged"
    assert told.key == place.of_folder(kind, directory)
    before = len(list(workdir.glob("runs/shop/*")))
    with pytest.raises(SystemExit):
        cli.main(["lr-find", "movielens_ease", "--workdir", str(workdir)])
    assert "has no learning rate: its model is fitted" in capsys.readouterr().err
    assert len(list(workdir.glob("runs/shop/*"))) == before, "no run is made"


def test_a_second_trainer_is_refused_takes_over_when_the_first_is_killed_and_stops_when_asked(
    shop, workdir
):
    command = ["podway.launch.cli", "train", str(shop)]
    command += ["--workdir", str(workdir), *QUICK, "--trainer.seed", "7"]
    command += ["--trainer.steps", "100000"]
    environment = os.environ | {"XLA_FLAGS": xla.flags(), "JAX_PLATFORMS": "cpu"}

    def start() -> subprocess.Popen:
        return forked.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    before = len(sessions(workdir))
    first = start()
    try:
        while (holder := training(workdir)) is None:
            assert first.poll() is None, first.communicate()[1][-3000:]
            time.sleep(0.05)
        assert holder.pid == first.pid
        second = start()
        _, said = second.communicate(timeout=120)
        assert second.returncode == exit_codes.LOST
        assert f"(process {first.pid}) since {holder.since}; wait for it, or end it first" in said
        while len(sessions(workdir)) == before:  # what it has done is told to the third
            assert first.poll() is None, first.communicate()[1][-3000:]
            time.sleep(0.05)
        first.send_signal(signal.SIGKILL)
        first.wait()
        third = start()
        while (holder := training(workdir)) is None or holder.pid != third.pid:
            assert third.poll() is None, third.communicate()[1][-3000:]
            time.sleep(0.05)
        while sorted(sessions(workdir))[-1] < 2:
            time.sleep(0.05)
        third.send_signal(signal.SIGTERM)
        out, said = third.communicate(timeout=120)
        assert third.returncode == exit_codes.PREEMPTED, said
        assert re.search(r"^podway: saved at step \d+; the same command resumes there$", out, re.M)
    finally:
        first.kill()
        first.wait()


def test_the_data_of_a_mixture_are_built_before_several_processes_train(shop, tmp_path):
    """Each of these refuses to build what is missing, and says that `podway data` does."""
    text = shop.read_text()
    (data,) = re.findall(r"data=(Data\(name=.shop..*\)),", text)
    more = data.replace('"shop"', '"more"')
    mixed = text.replace("data=Data", f"mixture=(Component(data={more}),),\n        data=Data")
    config = tmp_path / "mixed.py"
    config.write_text(mixed.replace("import Columns", "import Columns, Component"))
    cli.main(["data", str(config), "--workdir", str(tmp_path)])
    names = {path.parent.parent.name for path in tmp_path.glob("datasets/*/*/manifest.json")}
    assert names == {"shop", "more"}
