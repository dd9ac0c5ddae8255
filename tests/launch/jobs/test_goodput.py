"""What is said of a launch's goodput while it goes on."""

import threading
import time

import pytest

from podway.launch.jobs import account, kubernetes, machines, registry
from podway.launch.jobs.goodput import Goodput
from podway.launch.targets.kubernetes import follow
from podway.launch.targets.machines.target import Machines
from tests.launch.jobs.test_account import SUBMITTED, a_session
from tests.launch.jobs.test_kubernetes import Namespace, a_set
from tests.launch.targets.machines import test_follow as machines_followed
from tests.launch.targets.machines import test_status as states


def looked(goodput: Goodput, workdir, submitted: float = SUBMITTED) -> None:
    """A look that asks, and one that tells when the workdir has answered."""
    goodput.look(account.Launch(str(workdir), "shop", submitted))
    assert goodput._asked is not None
    goodput._asked.join(20)
    goodput.look(None)


@pytest.fixture
def said() -> list[str]:
    return []


def test_it_is_told_when_it_has_changed(tmp_path, said):
    goodput = Goodput(said.append, first=0.0, longest=0.0)
    looked(goodput, tmp_path)
    assert said == []
    a_session(tmp_path, "a", SUBMITTED, 1234)
    looked(goodput, tmp_path)
    looked(goodput, tmp_path)
    assert len(said) == 1
    assert said[0].startswith("  step 1,234 so far, goodput ")
    a_session(tmp_path, "a", SUBMITTED, 2345)
    looked(goodput, tmp_path)
    assert len(said) == 2
    assert "step 2,345 so far" in said[1]
    assert "in 2 sessions" in said[1]


def test_the_rest_is_told_in_plain_words():
    rest = {"compile": 20.4, "other": 9.0, "input": 0.4, "restart": 5.0, "evaluate": 4.0}
    found = account.Account(61.2, 200.0, 0.0, 1, 0, 7, True, rest)
    assert found.so_far() == (
        "step 7 so far, goodput 61.2 % of 3 min 20 s in 1 session; the rest: compiling 20 %,"
        " getting ready 9 %, lost work and starting again 5 %"
    )


def test_every_phase_of_a_run_has_its_words(tmp_path):
    """One that has none would not be told, however long it takes."""
    from podway.framework.runs import goodput

    assert account._WORDS.keys() == {*goodput.PHASES} - {"step", "waiting"}
    a_session(tmp_path, "a", SUBMITTED, 7)
    found = account.of(account.Launch(str(tmp_path), "shop", SUBMITTED))
    assert found is not None
    assert found.percent + sum(found.rest.values()) == pytest.approx(100)


def test_it_is_told_less_often_the_longer_it_takes(tmp_path, said, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    asked = []
    monkeypatch.setattr(account, "of", lambda launch: asked.append(clock[0] - 1000))
    goodput = Goodput(said.append)
    for _ in range(4000):
        clock[0] += 1
        goodput.look(account.Launch(str(tmp_path), "shop", SUBMITTED))
        assert goodput._asked is None or goodput._asked.join() is None
    assert asked == [60, 120, 240, 480, 960, 1860, 2760, 3660]


def test_nobody_waits_for_the_answer(tmp_path, said, monkeypatch):
    answers, asked = threading.Event(), []

    def slow(launch):
        asked.append(launch)
        answers.wait(60)

    monkeypatch.setattr(account, "of", slow)
    goodput = Goodput(said.append, first=0.0, longest=0.0)
    began = time.monotonic()
    for _ in range(3):
        goodput.look(account.Launch(str(tmp_path), "shop", SUBMITTED))
    assert time.monotonic() - began < 30
    answers.set()
    assert len(asked) == 1


class Slow(Namespace):
    """Its launch is complete at the third look; between two the workdir has answered.

    Attributes:
      goodput: who asks it.
    """

    looks, goodput = 0, Goodput(first=0.0)

    def get(self, version, kind, name):
        self.looks += 1
        if self.goodput._asked is not None:
            self.goodput._asked.join(20)
        if self.looks > 3:
            ended = {"conditions": [{"type": "Completed", "status": "True"}]}
            self.sets = [self.sets[0] | {"status": ended}]
        return super().get(version, kind, name)


def test_who_follows_a_cluster_reads_it(tmp_path, capsys, monkeypatch):
    a_session(tmp_path, "a", SUBMITTED, 7)
    monkeypatch.setattr(kubernetes, "Goodput", lambda: Slow.goodput)
    monkeypatch.setattr(follow.time, "sleep", lambda _: None)
    found = a_set(tmp_path, done=[("data", 1)])
    kubernetes.follow_to_end(Slow(found), found["metadata"]["name"])  # type: ignore[arg-type]
    lines = capsys.readouterr().out.splitlines()
    assert sum("step 7 so far, goodput " in line for line in lines) == 1
    assert lines[-1].startswith("  goodput ")


def test_who_follows_machines_reads_it(tmp_path, capsys, monkeypatch):
    a_session(tmp_path, "a", SUBMITTED, 7)
    goodput = Goodput(first=0.0)
    monkeypatch.setattr(machines, "Goodput", lambda: goodput)
    runs = states.RUNS | {"state": states.RUNS["state"] | {"submitted": SUBMITTED}}
    done = states.DONE | {"state": states.DONE["state"] | {"submitted": SUBMITTED}}

    class Answering(machines_followed.Scripted):
        def look(self, offset=0, *, of=0, tail=0):
            if goodput._asked is not None:
                goodput._asked.join(20)
            return super().look(offset, of=of, tail=tail)

    control = Answering([(runs, states.RUNS), (runs, states.RUNS), (done, states.TRAINED)])
    monkeypatch.setattr(machines.follow.time, "sleep", lambda _: None)
    record = registry.Record(
        "x", "machines", Machines(hosts=("a", "b")), "shop", str(tmp_path), "", SUBMITTED
    )
    end = machines.follow_to_end(record, control)  # type: ignore[arg-type]
    assert end is not None
    assert end.phase == "complete"
    lines = capsys.readouterr().out.splitlines()
    assert sum("step 7 so far, goodput " in line for line in lines) == 1
    assert lines[-1].startswith("  goodput ")
