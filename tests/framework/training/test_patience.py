"""Early stopping: when it ends a run, what of it survives a crash, and what the manifest says."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podway.framework import artifact
from podway.framework.config import Trainer
from podway.framework.error import ConfigError
from podway.framework.runs import run
from podway.framework.training import loop
from podway.framework.training.patience import Patience, without_progress
from tests.framework.experiments import breaking, walks

NEVER = {"evaluate_every": 2, "checkpoint_every": 2, "patience": 2, "min_delta": 10.0}
"""Nothing counts as better than the first evaluation, that of step 2."""
AT_SIX = "stopped early at step 6 of 20: ndcg@5 has not become better by more than 10 in 2"


@given(
    st.lists(st.sampled_from([None, math.nan, math.inf, -math.inf, 0.0, 0.1, 0.2, 0.3, 0.35])),
    st.sampled_from([0.0, 0.1, 0.15]),
    st.booleans(),
)
def test_progress_is_what_a_slow_definition_says(values, min_delta, largest_is_best):
    """An evaluation is better if its value beats that of each better one before it."""
    sign, better = (1 if largest_is_best else -1), []
    for at, value in enumerate(values):
        if value is None or not math.isfinite(value):
            continue
        if all(sign * (value - values[before]) > min_delta for before in better):
            better.append(at)
    count = len(values) - 1 - better[-1] if better else len(values)
    assert without_progress(values, min_delta, largest_is_best=largest_is_best) == count


def test_without_patience_a_run_goes_on():
    worse = {step: {"ndcg@5": 1 - step / 100} for step in range(1, 50)}
    assert Patience(walks(), worse).ended() == ""
    assert Patience(walks(steps=49, patience=3), worse).ended() == "", "it is at its end"
    patience = Patience(walks(steps=60, patience=48), worse)
    assert patience.ended().startswith("stopped early at step 49 of 60: ndcg@5 has not become")
    patience.take(50, {"ndcg@5": 2.0})
    assert patience.ended() == ""


def test_a_run_that_stops_early_is_finished_with_its_best_step(dataset, tmp_path):
    outcome = loop.train(walks(**NEVER), dataset, tmp_path)
    assert (outcome.step, outcome.finished) == (6, True)
    assert outcome.early.startswith(AT_SIX)
    manifest = artifact.read(outcome.directory, "run")
    assert (manifest.details["steps"], manifest.details["ended"]) == (6, outcome.early)
    records = [
        json.loads(line) for line in (outcome.directory / "metrics.jsonl").read_text().splitlines()
    ]
    values = {
        each["step"]: each["validation/ndcg@5"] for each in records if "validation/ndcg@5" in each
    }
    assert list(values) == [2, 4, 6]
    assert manifest.details["selected_step"] == max(values, key=values.__getitem__)
    run.load(outcome.directory)
    assert loop.train(walks(**NEVER), dataset, tmp_path) == outcome, "it is not begun again"


def test_what_evaluations_showed_survives_a_crash(dataset, tmp_path, monkeypatch):
    with breaking(monkeypatch, 5), pytest.raises(OSError, match="the disk is broken"):
        loop.train(walks(**NEVER), dataset, tmp_path)
    outcome = loop.train(walks(**NEVER), dataset, tmp_path)
    assert (outcome.step, outcome.early[: len(AT_SIX)]) == (6, AT_SIX)


def test_a_run_that_has_to_stop_is_not_gone_on_with(dataset, tmp_path, monkeypatch):
    """As when it was killed after the last save, before it was committed."""
    with monkeypatch.context() as patched:
        patched.setattr(run, "commit", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            loop.train(walks(**NEVER), dataset, tmp_path)
    (directory,) = tmp_path.glob("runs/walks/*")
    before = np.sort([path.name for path in (directory / "checkpoints").iterdir()])
    outcome = loop.train(walks(**NEVER), dataset, tmp_path)
    assert (outcome.step, outcome.finished) == (6, True)
    assert outcome.early.startswith(AT_SIX)
    assert (np.sort([path.name for path in (directory / "checkpoints").iterdir()]) == before).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, "trainer.patience is 0"),
        ({"min_delta": -1.0}, "trainer.min_delta is -1.0"),
        ({"min_delta": math.nan}, "trainer.min_delta is nan"),
    ],
)
def test_values_that_make_no_sense(options, message):
    with pytest.raises(ConfigError, match=message):
        Trainer(**options)
