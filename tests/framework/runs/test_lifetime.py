"""The time between sessions: what counts of it, whoever's clock is wrong."""

import json
import time

import pytest
from etils import epath

from podway.framework.error import ConfigError
from podway.framework.runs import goodput, lifetime
from podway.framework.runs.lifetime import Gap, Launch


@pytest.mark.parametrize(
    ("submitted", "started", "last", "gap"),
    [
        (None, 100, None, Gap()),
        (None, 100, 40, Gap(outside=60)),
        (30, 100, None, Gap(waiting=70)),
        (30, 100, 40, Gap(away=60)),
        (60, 100, 40, Gap(waiting=40, outside=20)),
        # A clock that is behind, or ahead, of the other's.
        (None, 100, 140, Gap()),
        (130, 100, None, Gap()),
        (30, 100, 140, Gap()),
        (130, 100, 40, Gap(outside=60)),
    ],
)
def test_what_lies_before_a_session(submitted, started, last, gap):
    assert Gap.before(Launch(submitted, started), last) == gap


def test_the_environment_says_it_once():
    environment = {lifetime.SUBMITTED: "1000.5", lifetime.STARTED: "1100"}
    assert Launch.take(2000, environment) == Launch(1000.5, 1100)
    assert environment == {}
    assert Launch.take(3000, environment) == Launch(None, 3000)
    assert Launch.take(50, {lifetime.STARTED: "1100"}) == Launch(None, 50), "not in the future"
    for text in ("yesterday", "-5", "nan", "1764480000000"):
        with pytest.raises(ConfigError, match=r"PODWAY_SUBMITTED is .* as of `date"):
            Launch.take(50, {lifetime.SUBMITTED: text})


def test_a_process_knows_when_it_was_started():
    started = lifetime.process_start()
    assert started is not None
    assert 0 < time.time() - started < 86_400
    launch = Launch.take(time.time(), {lifetime.SUBMITTED: "1000"})
    assert launch.started == pytest.approx(started, abs=1)


def test_the_seconds_of_a_launched_run_are_its_whole_life(tmp_path):
    path, now = epath.Path(tmp_path) / "goodput.json", time.time()
    clock = goodput.Clock()
    clock.began = now - 500.0
    first = goodput.Ledger.open(path, clock, 0, 0, Launch(now - 600, now - 510))
    clock._seconds |= {"step": 200.0}
    first.write(10, saved=True)
    assert first.seconds()["waiting"] == pytest.approx(90)
    assert first.seconds()["other"] == pytest.approx(10, abs=1), "from the process's start on"

    def session(start: float, submitted: float | None, last: float) -> goodput.Ledger:
        record = goodput.read(path)
        assert record is not None
        record["history"][-1]["alive"] = last
        path.write_text(json.dumps(record))
        clock = goodput.Clock()
        clock.began = start
        ledger = goodput.Ledger.open(path, clock, 10, 10, Launch(submitted, start))
        ledger.write(10)
        return ledger

    again = session(now - 200, now - 600, now - 300)
    assert again.seconds()["away"] == pytest.approx(100)
    assert again.seconds()["step"] == pytest.approx(200, abs=1)
    third = session(now - 90, None, now - 150)
    assert third.outside == pytest.approx(60)
    assert third.seconds()["away"] == pytest.approx(100), "nothing of it was lost in a crash"
    assert third.seconds()["restart"] < 5
    record = goodput.read(path)
    assert record is not None
    always = {"began", "alive", "waiting", "away", "outside"}
    launched = always | {"submitted"}
    assert [set(each) for each in record["history"]] == [launched, launched, always]
    assert record["history"][1]["submitted"] == now - 600
    assert record["goodput_percent"] == pytest.approx(100 * 200 / 310, abs=2), (
        "waiting is beside it"
    )
    assert record["sessions"] == 3


def test_records_of_earlier_versions_are_gone_on_with(tmp_path):
    path = epath.Path(tmp_path) / "goodput.json"
    seconds = {"step": 5.0, "compile": 1.0, "input": 0.0, "evaluate": 0.0, "checkpoint": 0.0}
    seconds |= {"restart": 0.0, "other": 1.0}
    record = {
        "seconds": seconds,
        "sessions": 1,
        "steps_redone": 0,
        "step": 5,
        "marks": {5: seconds},
    }
    path.write_text(json.dumps(record))
    ledger = goodput.Ledger.open(path, goodput.Clock(), 5, 5, Launch(1000.0, time.time()))
    assert ledger.seconds()["step"] == 5.0
    assert ledger.seconds()["waiting"] == 0, "nobody knows how much of it was without a process"
