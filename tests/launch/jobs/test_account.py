"""Where a launch's time went, read from goodput.json as training writes it."""

import math
import time

import pytest
from etils import epath

from podway.framework.runs.goodput import FILE, Clock, Ledger
from podway.framework.runs.lifetime import Launch as Submitted
from podway.launch.jobs import account

SUBMITTED = 1_700_000_000.25


def a_session(workdir, run: str, submitted: float | None, step: int, saved: bool = True) -> None:
    """Adds a session to the account of a run, which has worked for a while."""
    path = epath.Path(workdir) / "runs" / "shop" / run / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    clock = Clock()
    launch = Submitted(submitted, clock.began - 5 if submitted is None else submitted + 60)
    ledger = Ledger.open(path, clock, 0, 0, launch)
    clock.add("step", 30.0)
    ledger.write(step, saved=saved)


def found(workdir, submitted: float = SUBMITTED) -> account.Account | None:
    return account.of(account.Launch(str(workdir), "shop", submitted))


def test_it_is_that_of_the_run_which_was_launched_then(tmp_path):
    a_session(tmp_path, "a", SUBMITTED + 3, 7)
    a_session(tmp_path, "b", SUBMITTED, 1234)
    a_session(tmp_path, "c", None, 9)
    mine = found(tmp_path)
    assert mine is not None
    assert (mine.step, mine.saved, mine.sessions, mine.waiting) == (1234, True, 1, 60)
    assert found(tmp_path, SUBMITTED - 3) is None


def test_of_several_runs_it_is_the_last(tmp_path):
    """As --more trains one after the other."""
    for run in ("b", "a"):
        a_session(tmp_path, run, SUBMITTED, ord(run))
        time.sleep(0.01)
    mine = found(tmp_path)
    assert mine is not None
    assert mine.step == ord("a")


def test_it_is_told_in_one_line(tmp_path):
    told = account.Account(61.234, 200.0, 0.5, 1, 0, 5, True)
    assert str(told) == "goodput 61.2 % of 3 min 20 s in 1 session"
    told = account.Account(61.234, 200.0, 75.0, 3, 1234, 5, True)
    assert str(told) == (
        "goodput 61.2 % of 3 min 20 s in 3 sessions; 1,234 steps were done again; 1 min 15 s of"
        " waiting for machines are not in it"
    )


@pytest.mark.parametrize("text", ["{", "[]", '{"history": [{"submitted": 1700000000.25}]}'])
def test_what_cannot_be_read_is_not_told(tmp_path, text):
    assert found(tmp_path / "none") is None
    path = tmp_path / "runs" / "shop" / "a" / FILE
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert found(tmp_path) is None


def test_no_number_is_no_goodput(tmp_path):
    a_session(tmp_path, "a", SUBMITTED, 7)
    (path,) = tmp_path.rglob(FILE)
    path.write_text(
        path.read_text().replace('"goodput_percent": ', '"goodput_percent": NaN, "x": ')
    )
    assert found(tmp_path) is None


def test_nobody_waits_for_a_workdir_that_does_not_answer(tmp_path, monkeypatch):
    a_session(tmp_path, "a", SUBMITTED, 7)
    read = account.goodput.read

    def slow(path):
        if "away" in str(path):
            time.sleep(30)
        return read(path)

    (tmp_path / "away/runs/shop/a").mkdir(parents=True)
    monkeypatch.setattr(account.goodput, "read", slow)
    monkeypatch.setattr(account, "PATIENCE", 0.5)
    here, away = (
        account.Launch(str(each), "shop", SUBMITTED) for each in (tmp_path, tmp_path / "away")
    )
    start = time.monotonic()
    both = account.of_all([away, here, None])
    assert time.monotonic() - start < 10
    assert both[0] is None
    assert both[1] is not None
    assert math.isclose(both[1].waiting, 60)
    assert both[2] is None
