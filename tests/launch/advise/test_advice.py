"""The rule by hand: of ten users, over whom the differences are known."""

import dataclasses

import numpy as np
import pytest

from podway.framework.config import Experiment
from podway.framework.error import ConfigError
from podway.framework.models.sasrec import SasRec
from podway.launch.advise import advice, text
from podway.launch.advise.candidates import Candidate
from podway.launch.advise.measure import Budget, Row, Worth
from podway.launch.verbs.search import advise as verb
from tests.framework import experiments

USERS = np.linspace(0, 1, 10)


def _row(name: str, shift: float | None, weights: int, *, simple: bool = False, broken=()) -> Row:
    """`shift` is how much worse each user is served; None: nobody knows."""
    experiment: Experiment = dataclasses.replace(experiments.walks(), model=SasRec(width=16))
    candidate = Candidate(name, None, "f32", experiment, simple)
    users = None if shift is None else USERS - shift
    worth = None if users is None else Worth(float(users.mean()), 0, 1, users)
    return Row(candidate, weights, weights, 1.0, broken, worth)


def _noisy(name: str, weights: int, *, simple: bool = False) -> Row:
    """As good on the whole, but for every other user better or worse."""
    row = _row(name, 0.0, weights, simple=simple)
    users = USERS + np.where(np.arange(10) % 2, 0.3, -0.32)
    return dataclasses.replace(row, worth=Worth(float(users.mean()), 0, 1, users))


def _taken(*rows: Row, loss: float = 0.0) -> str:
    found = advice.advise(rows, largest_is_best=True, loss=loss)
    assert found is not None
    return found.taken.candidate.name


def test_what_is_clearly_worse_is_not_taken_however_small():
    assert _taken(_row("large", 0.0, 100), _row("small", 0.1, 1, simple=True)) == "large"


def test_a_simple_model_that_is_not_shown_to_be_worse_is_taken():
    found = [_row("large", 0.0, 100), _noisy("simple", 500, simple=True)]
    made = advice.advise(found, largest_is_best=True, loss=0.0)
    assert made is not None
    assert made.taken.candidate.name == "simple"
    assert "simpler than large" in made.why
    assert "take simple" in text.said(found, made, "ndcg@10")


def test_of_trained_models_the_smallest_that_is_as_good_is_taken():
    assert _taken(_row("large", 0.0, 100), _noisy("middle", 50), _row("small", 0.2, 10)) == "middle"


def test_a_loss_that_is_allowed_lets_a_smaller_model_pass():
    rows = _row("large", 0.0, 100), _row("small", 0.01, 10)
    assert _taken(*rows) == "large"
    assert _taken(*rows, loss=0.03) == "small"


def test_what_is_above_the_budget_is_neither_the_best_nor_taken():
    beyond = _row("huge", -0.2, 1000, broken=["memory"])
    assert _taken(beyond, _row("large", 0.0, 100)) == "large"
    assert advice.advise([beyond], largest_is_best=True, loss=0.0) is None
    assert "nothing is within the budget" in text.said([beyond], None, "ndcg@10")


def test_not_a_number_is_never_the_best():
    empty = _row("broken", 0.0, 1)
    users = np.full(10, np.nan)
    empty = dataclasses.replace(empty, worth=Worth(float("nan"), 0, 1, users))
    assert _taken(empty, _row("large", 0.0, 100)) == "large"
    assert _taken(_row("large", 0.0, 100), empty) == "large"


def test_a_budget_says_what_is_above_it():
    budget = Budget(latency=20.0, memory=1000)
    assert budget.broken(20.0, 1000) == []
    assert budget.broken(20.1, 1001) == ["20.1 ms", "memory"]
    assert budget.broken(float("nan"), 0) == ["nan ms"]


def test_sizes_and_times_are_read_with_their_units():
    assert verb._bytes("2GiB") == 2 << 30
    assert verb._bytes("500MB") == 500_000_000
    assert verb._milliseconds("0.5s") == 500
    assert verb._milliseconds("") is None
    with pytest.raises(ConfigError, match=r"20ms or 0\.5s"):
        verb._milliseconds("20")
    with pytest.raises(ConfigError, match="2GiB or 500MB"):
        verb._bytes("much")
