"""Continuous training: what begins a cycle, what stops it, and what a kill leaves behind."""

import dataclasses
import datetime
import json

import pytest

from podway.export.verification import verify
from podway.export.versions import promote
from podway.framework.config import Gate, Loop, Within
from podway.framework.error import ConfigError, PodwayError
from podway.launch.loop import look, loop, record, release
from podway.launch.loop.look import News
from podway.launch.loop.record import Aside, Cycle
from podway.launch.verbs.operate.loop import status
from tests.launch.loop import days

NOW = datetime.datetime(2030, 1, 2, 12, tzinfo=datetime.UTC)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr(verify, "in_fresh_process", verify.verify)


@pytest.mark.parametrize(
    ("options", "hours", "events", "drift", "begins"),
    [
        ({"every": 24}, 23.9, 10**9, 9.0, False),
        ({"every": 24}, 24.0, 0, None, True),
        ({"every": 0, "new_events": 100}, 0.1, 99, None, False),
        ({"every": 0, "new_events": 100}, 0.1, 100, None, True),
        ({"every": 0, "new_events": 100}, 900, None, None, False),
        ({"every": 0, "drift": 0.2}, 900, 10**9, 0.2, False),
        ({"every": 0, "drift": 0.2}, 0.1, 0, 0.21, True),
        ({"every": 0, "drift": 0.2}, 0.1, 0, float("nan"), False),
        ({"every": 24, "new_events": 100, "drift": 0.2}, 1, 100, 0.0, True),
        ({"every": 0}, 0.0, 0, None, True),
    ],
)
def test_what_begins_a_cycle(tmp_path, options, hours, events, drift, begins):
    experiment = days.shop(tmp_path, **options)
    began = (NOW - datetime.timedelta(hours=hours)).isoformat()
    before = (Cycle(1, began, "", (), outcome="served"),)
    news = News(files=("a",), events=events)
    assert bool(look.due(experiment, news, before, NOW, drift)) == begins
    assert not look.due(experiment, News(), before, NOW, drift)
    assert look.due(experiment, news, (), NOW, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": -1.0}, r"loop.every is -1.0; give 0 \(off\) or more"),
        ({"max_rejected": 2.0}, "loop.max_rejected is 2.0; give a fraction"),
    ],
)
def test_options_that_mean_nothing(options, message):
    with pytest.raises(ConfigError, match=message):
        Loop(**options)


def test_a_record_reads_back_and_a_broken_one_is_named(tmp_path):
    written = record.write(tmp_path, Cycle(1, record.now(), "why", ("a", "b"), exclude=("c",)))
    assert record.cycles(tmp_path) == (written,)
    aside = Aside("a", ("name", "hash"), 1, "reason")
    record.set_aside(tmp_path, (aside,))
    assert record.asides(tmp_path) == (aside,)
    (tmp_path / "cycles" / "000002.json").write_text("{}")
    with pytest.raises(record.RecordError, match=r"000002\.json is no record of a cycle"):
        record.cycles(tmp_path)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Two days, the second of which extended the first; then a poisoned one, and one after it."""
    folder = tmp_path_factory.mktemp("days")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "in_fresh_process", verify.verify)
        ended = []
        for day in (1, 2):
            days.write(folder, day)
            ended.append(loop.once(days.shop(folder), folder / "w"))
        days.write(folder, 3, prefix="bad-")
        ended.append(loop.once(days.shop(folder), folder / "w"))
        days.write(folder, 4)
        ended.append(loop.once(days.shop(folder), folder / "w"))
    return folder, ended


def test_each_good_day_is_served_and_a_poisoned_one_is_set_aside(served):
    folder, (first, second, third, fourth) = served
    assert [first.outcome, second.outcome] == ["served", "served"]
    assert second.files == (str(folder / "day-2.csv"),)
    manifest = json.loads(
        (folder / "w" / "datasets" / "shop" / second.dataset / "manifest.json").read_text()
    )
    assert manifest["details"]["since"]["version"] == first.dataset
    assert third.outcome == "stopped"
    assert third.reason.startswith("the data check: item: drift PSI ")
    assert not third.dataset
    assert fourth.outcome == "served"
    assert fourth.files == (str(folder / "day-4.csv"),)
    assert fourth.exclude == (str(folder / "day-3.csv"),)
    versions = [first.model, second.model, fourth.model]
    assert promote.read("shop", folder / "w")[1] == versions[-1]
    raw = json.loads(
        (folder / "w" / "datasets" / "shop" / fourth.dataset / "manifest.json").read_text()
    )["details"]["raw"]
    assert [each["path"][-9:] for each in raw] == ["day-1.csv", "day-2.csv", "day-4.csv"]


def test_nothing_new_is_nothing_to_do(served, capsys):
    folder, _ = served
    assert loop.once(days.shop(folder), folder / "w") is None
    assert "nothing to do: no new raw files" in capsys.readouterr().out
    home = record.folder("shop", folder / "w")
    text = status(record.cycles(home), record.asides(home))
    assert "day-3.csv  cycle 3: item: drift PSI" in text
    assert text.count("served") == 3


def test_what_is_set_aside_is_read_again_when_it_is_mended_or_released(served, tmp_path):
    folder, _ = served
    asides = record.asides(record.folder("shop", folder / "w"))
    home = record.folder("shop", tmp_path)
    record.set_aside(home, asides)
    with pytest.raises(
        PodwayError, match=r"--release 'x' names no file that is set aside; .*day-3"
    ):
        loop.release(days.shop(folder), tmp_path, ["x"])
    assert loop.release(days.shop(folder), tmp_path, ["day-3.csv"]) == [asides[0].path]
    assert not record.asides(home)
    mended = (dataclasses.replace(asides[0], identity=("day-3.csv", "another")),)
    assert str(folder / "day-3.csv") in look.look(days.shop(folder), None, mended).files
    assert str(folder / "day-3.csv") not in look.look(days.shop(folder), None, asides).files


class Killed(BaseException):
    pass


@pytest.mark.parametrize("written", [True, False])
def test_a_cycle_killed_before_or_after_each_write_goes_on_where_it_was(
    tmp_path, monkeypatch, written
):
    days.write(tmp_path, 1)
    experiment, workdir, write = days.shop(tmp_path), tmp_path / "w", record.write
    killed_at = []

    def killed(home, each):
        if each.step in killed_at and not each.outcome:
            return write(home, each)
        if written:
            write(home, each)
        if each.outcome and each.outcome in killed_at:
            return write(home, each)
        killed_at.append(each.outcome or each.step)
        days.write(tmp_path, 1 + len(killed_at))  # what comes meanwhile waits for the next cycle
        raise Killed

    monkeypatch.setattr(record, "write", killed)
    ended = None
    while ended is None or not ended.outcome:
        try:
            ended = loop.once(experiment, workdir)
        except Killed:
            ended = (record.cycles(record.folder("shop", workdir)) or (None,))[-1]
    steps = ["check", "data", "train", "evaluate", "export", "gate", "rollout", "served"]
    assert killed_at == steps
    assert (ended.number, ended.outcome) == (1, "served")
    if written:
        assert ended.files == (str(tmp_path / "day-1.csv"),)
    assert promote.numbers(workdir_models(workdir)) == [ended.model]
    assert len(record.cycles(record.folder("shop", workdir))) == 1


def workdir_models(workdir):
    from etils import epath

    return epath.Path(workdir) / "models" / "shop"


def test_what_the_gate_stops_does_not_serve(tmp_path, monkeypatch):
    gated = Gate(rules=(Within("coverage@5", low=0.0),))
    experiment = dataclasses.replace(days.shop(tmp_path), gate=gated)
    days.write(tmp_path, 1)
    first = loop.once(experiment, tmp_path / "w")
    assert first.outcome == "served"
    days.write(tmp_path, 2)
    no = release.Verdict(False, "recall@10 fell by 0.1", "gates/shop/2")
    monkeypatch.setattr(release, "gate", lambda *_: no)
    second = loop.once(experiment, tmp_path / "w")
    assert (second.outcome, second.reason) == ("stopped", "the gate: recall@10 fell by 0.1")
    assert second.dataset
    assert promote.read("shop", tmp_path / "w")[1] == first.model
