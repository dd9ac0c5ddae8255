"""`podway sweep` as a user runs it: two workers, one of them killed, and a command that ends."""
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("optuna", reason="optuna is missing: pip install 'podway[sweep]'")

from podway.framework.runs import records
from podway.framework.runs.lock import Holder
from podway.launch import experiments
from podway.launch.sweep import plan, study

ROOT = pathlib.Path(__file__).parents[3]
CONFIG = """
import dataclasses, pathlib
from podway.framework.config.sweep import Asha, Choice, Float, Sweep, Winner
from tests.launch import world

def experiment():
    base = world.shop(pathlib.Path({folder!r}))
    trainer = dataclasses.replace(base.trainer, steps=60, evaluate_every=10, checkpoint_every=10)
    return dataclasses.replace(base, trainer=trainer)

def sweep():
    rate = Float("optimizer.learning_rate", 1e-3, 1e-1, log=True)
    return Sweep((rate, Choice("model.width", (8, 16))), trials=4, pruner=Asha(first=3),
                 objectives=("quality", "parameters"), winner=Winner(candidates=2, seeds=2))
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "podway.launch.cli", "sweep", *arguments]


def test_a_field_that_there_is_not_is_told_at_once(folder):
    words = command("movielens_sasrec", "--space", "model.widht=8,16", "--workdir", "away")
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode in (1, 2), done.stderr
    assert "space: model.widht is no field of the experiment; perhaps you meant model.width" in (
        done.stderr
    )
    assert "Traceback" not in done.stderr
    assert not (ROOT / "away").exists()


def kill_one(found) -> int | None:
    """Kills the worker of a trial in the middle of it; its number, or None: none is there.

    The worker stands still while one looks again, as it may have ended the trial meanwhile.
    """

    def workers() -> dict[int, int]:
        running = [each for each in found.get_trials(deepcopy=False) if is_halfway(each)]
        return {each.number: Holder.read(each.user_attrs[study.WORKER]).pid for each in running}

    for number, pid in workers().items():
        os.kill(pid, signal.SIGSTOP)
        if workers().get(number) == pid:
            os.kill(pid, signal.SIGKILL)
            return number
        os.kill(pid, signal.SIGCONT)
    return None


def is_halfway(trial) -> bool:
    evaluated = trial.user_attrs.get(study.VALIDATION, {})
    return trial.state.name == "RUNNING" and 2 <= len(evaluated) < 6


@pytest.mark.slow
def test_no_trial_is_lost_or_doubled_whoever_is_killed(folder, tmp_path):
    config, workdir = tmp_path / "config.py", tmp_path / "w"
    config.write_text(CONFIG.format(folder=str(folder)))
    words = command(str(config), "--workers", "2", "--workdir", str(workdir))
    words += ["--write", str(tmp_path / "won.py")]

    process = subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    killed = None
    try:
        until = time.monotonic() + 400
        while killed is None and time.monotonic() < until:
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.2)
            for folder_ in workdir.glob("sweeps/*/*"):
                if not (folder_ / plan.FILE).exists():
                    continue
                made = plan.read(folder_, "")
                killed = killed if killed is not None else kill_one(study.open_study(made))
        assert killed is not None
        found = study.open_study(made)
        while len(study.groups(found)[killed]) < 2:  # it is entered once more
            assert time.monotonic() < until
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=200)
    finally:
        process.kill()
    assert process.returncode == 42, said
    assert "the workers have saved; the same command goes on" in said
    assert "ended with signal SIGKILL, and is started again" in said
    assert all(each.state != "running" for each in study.read(found, made.sweep))

    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    trials = study.read(found, made.sweep)
    assert len(trials) == 4
    assert {each.state for each in trials} <= {"complete", "pruned"}
    again = next(each for each in trials if each.number == killed)
    assert again.attempts >= 2
    steps = [10 * at for at in range(1, 7)]
    assert list(again.validation) == steps[: len(again.validation)]
    content = json.loads((made.directory / "sweep.json").read_text())
    assert [each["number"] for each in content["trials"]] == [each.number for each in trials]
    for each in content["trials"]:
        if each["state"] == "complete":  # each step once, whoever trained it
            run = workdir / "runs" / "shop" / each["run"]
            told = records.read(run / "metrics.jsonl")
            evaluated = [one["step"] for one in told if "validation/ndcg@5" in one]
            assert evaluated == steps
    assert content["winner"]["number"] in content["front"]
    assert content["winner"]["overrides"] in done.stdout
    won = experiments.load(str(tmp_path / "won.py"))
    values = content["winner"]["values"]
    assert won.optimizer.learning_rate == values["optimizer.learning_rate"]
    assert (made.directory / "sweep.html").exists()
    assert (made.directory / "sweep.md").exists()
    evaluations = list((workdir / "evaluations" / "shop").iterdir())
    assert len([each for each in evaluations if each.is_dir()]) == 1, "the test split is seen once"
