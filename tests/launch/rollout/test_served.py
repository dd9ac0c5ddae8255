"""Which version answered whom, and when; and the two verbs on the command line."""

import datetime
import json
import os
import pathlib

import pytest

from podway.export import layout
from podway.export.versions import history, models_config, promote
from podway.export.versions.models_config import Served
from podway.launch.rollout import served
from podway.online.rollout import state, store
from tests.launch.rollout.test_controller import PLAN
from tests.launch.targets import models
from tests.launch.test_cli import podway


def clock(minute: int, second: int = 0) -> str:
    return f"2025-11-30T09:{minute:02}:{second:02}+00:00"


@pytest.fixture
def workdir(tmp_path, monkeypatch) -> pathlib.Path:
    """Version 1 is exported at 9:00 and labelled at 9:01, 2 is exported at 9:02; its rollout begins
    at 9:05, is a shadow at 9:06, a canary at 9:10 and 9:20, and goes back at 9:30."""
    entry = history.entry
    minute = 0

    def dated(*given):
        found = entry(*given)
        return history.dataclasses.replace(found, when=clock(minute))

    monkeypatch.setattr(history, "entry", dated)
    workdir = tmp_path / "w"
    models.add(workdir, "m")
    minute = 1
    models.label(workdir, "m", 1, "stable")
    minute = 2
    models.add(workdir, "m")
    home = layout.models(workdir) / "m"
    now = state.begin("m", 2, 1, PLAN, clock(5))
    store.change(home, now)
    minute = 6
    models.label(workdir, "m", 2, "canary")
    for when in (clock(6, 1), clock(10), clock(20)):
        now = state.forward(now, when)
        store.change(home, now)
    now = state.back(now, "it failed", clock(30))
    store.change(home, now)
    minute = 31
    promote.promote("m", 1, workdir, label="canary")
    promote.withdraw("m", workdir, label="canary")
    promote.promote("m", 1, workdir)
    store.change(home, state.forward(now, clock(31, 30)))
    return workdir


@pytest.mark.parametrize(
    ("minute", "shares", "copied", "without"),
    [
        (0, {1: 1}, 0, 1),
        (3, {1: 1}, 0, 2),
        (6, {1: 1}, 0, 2),
        (9, {1: 1}, 0.5, 2),
        (10, {1: 0.9, 2: 0.1}, 0, 2),
        (25, {1: 0.5, 2: 0.5}, 0, 2),
        (30, {1: 1}, 0, 2),
        (40, {1: 1}, 0, 1),
    ],
)
def test_what_held_at_a_time(workdir, minute, shares, copied, without):
    found = served.moments("m", workdir)
    moment = served.at(found, datetime.datetime.fromisoformat(clock(minute)))
    assert moment is not None
    assert dict(moment.shares()) == pytest.approx(shares)
    assert (moment.copied, moment.unlabelled) == (copied, without)


def test_each_moment_is_what_a_slow_search_finds(workdir):
    found = served.moments("m", workdir)
    assert [each.when for each in found] == sorted(each.when for each in found)
    for second in range(-60, 2000, 37):
        when = datetime.datetime.fromisoformat(clock(0)) + datetime.timedelta(seconds=second)
        before = [each for each in found if each.when <= when]
        assert served.at(found, when) == (before[-1] if before else None)


def test_a_change_that_a_kill_cut_short_is_not_told(workdir):
    home = layout.models(workdir) / "m"
    before = served.moments("m", workdir)
    lines = (home / store.HISTORY).read_text().splitlines()
    new = state.begin("m", 2, 1, PLAN, clock(40))
    (home / store.HISTORY).write_text("\n".join([*lines, state.text(new), ""]))
    current = models_config.served(layout.server_config(workdir), "m")
    entries = history.read(home, current)
    after = Served((*current.versions, 9), current.labels)
    history.add(home, entries, history.entry("promote", "", 1, 2, current, after))
    assert served.moments("m", workdir) == before


def test_the_command_answers(workdir):
    at = ("--workdir", os.fspath(workdir))
    done = podway("served", "m", "--at", "2025-11-30T09:25", *at)
    assert done.stdout.splitlines() == [
        "m at 2025-11-30T09:25:00+00:00:",
        "  version 1   50.00% of the users  (stable)",
        "  version 2   50.00% of the users  (canary)",
        "  requests that named no label got version 2",
        "  since 2025-11-30T09:20:00+00:00: m version 2: canary at 50.00% of the users",
    ]
    done = podway("served", "m", "--at", "2025-11-30T10:25+01:00", "--json", *at)
    assert json.loads(done.stdout)["shares"] == {"1": 0.5, "2": 0.5}
    done = podway("served", "m", "--since", clock(9), "--until", clock(30), *at)
    assert [line.split("  ")[1] for line in done.stdout.splitlines()] == [
        "1: 100.00%",
        "1: 90.00%, 2: 10.00%",
        "1: 50.00%, 2: 50.00%",
        "1: 100.00%",
    ]
    assert "version 1  100.00% of the users" in podway("served", "m", *at).stdout


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--at", "noon"), "--at is 'noon', which is no time; give one as 2026-11-30T09:00"),
        (("--at", "2999-01-01"), "--at 2999-01-01 is to come"),
        (("--at", "2025-01-01"), "nothing is known of m at 2025-01-01T00:00:00+00:00, before"),
        (("--at", "2025-01-01", "--since", "2025-01-01"), "give the one or the other"),
    ],
)
def test_times_that_cannot_be_answered(workdir, given, message):
    done = podway("served", "m", *given, "--workdir", os.fspath(workdir))
    assert done.returncode == 1
    assert message in done.stderr


def test_the_command_shows_where_a_rollout_stands(workdir):
    at = ("--workdir", os.fspath(workdir))
    done = podway("rollout", "m", "--status", *at)
    first, *lines = done.stdout.splitlines()
    assert first.startswith("m version 2: returned (it failed), since 2025-11-30T09:31:30")
    assert len(lines) == 6
    done = podway("rollout", "m", "--status", "--json", *at)
    assert json.loads(done.stdout)["phase"] == "returned"


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ((), 1, "VERSION is 'missing'; give the number of one: `podway versions m"),
        (("new",), 1, "VERSION is 'new'"),
        (("2",), 1, "--server is missing: give HOST:PORT"),
        (("9", "--server", "h:1"), 1, "the published versions are: 1, 2"),
        (("2", "--rollout.shares", "0.5", "0.1"), 2, "rollout.shares is (0.5, 0.1); give rising"),
        (("--abort",), 1, "it is over; `podway rollback` undoes"),
        (("--abort", "--status"), 1, "exclude each other"),
        (("2", "--server", "h:1", "--target-file", "x.py"), 1, "two places to serve"),
        (("2", "--config", "movielens_sasrek"), 2, "perhaps you meant 'movielens_sasrec'"),
    ],
)
def test_what_cannot_be_rolled_out(workdir, given, code, message):
    done = podway("rollout", "m", *given, "--workdir", os.fspath(workdir))
    assert message in done.stderr
    assert done.returncode == code


def test_a_config_says_how_it_goes(monkeypatch):
    from podway.framework.config import Rollout
    from podway.launch.verbs.operate import rollout

    assert rollout.plan(["--config", "movielens_sasrec"]) == {"rollout": Rollout()}
    assert rollout.plan(["--server", "h:1"]) == {}
