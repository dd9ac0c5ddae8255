"""What is told of a rollout: a run of its own, and the version's tags and names in the registry."""

import pathlib

import pytest
from etils import epath

from podway.launch.follower import catch_up, tell
from podway.launch.registry import record
from podway.launch.tracking import operation
from podway.online.rollout import store
from tests.launch.rollout.test_controller import (
    PLAN,
    Seeing,
    a_controller,
    home_of,
    see,
    workdir,  # noqa: F401
)

pytest.importorskip("mlflow", reason="mlflow is missing: pip install 'podway[tracking]'")

from podway.launch.tracking.database import Database
from tests.launch.tracking.tracked import client, points, rows, runs


class Telling:
    """Tells a database of each step, as the process beside the command does."""

    def __init__(self, address, place):
        self.database, self.seen = Database(address, place), []

    def __call__(self, kind: str, home: epath.PathLike) -> None:
        tell.tell(self.database, kind, epath.Path(home), "session")
        (told,) = [run for run in runs(self.database.address).values() if run.info.end_time is None
                   ] or [None]  # fmt: skip
        names = client(self.database.address).get_registered_model("m").aliases
        phase = store.read(home).phase  # type: ignore[union-attr]
        status = told.info.status if told else ""
        self.seen.append((phase, status, names.get("challenger"), names["champion"]))


def run(workdir, address, code: str) -> Telling:  # noqa: F811
    telling = Telling(address, workdir)
    each = a_controller(workdir, target=Seeing(workdir, code), tell=telling)
    each.begin("m", 3, PLAN)
    each.run()
    return telling


def test_a_rollout_is_a_run_and_its_version_the_challenger_until_it_is_stable(workdir, address):  # noqa: F811
    seen = run(workdir, address, "").seen
    # The label stands before the state that has users sent there.
    assert seen[1:] == [
        ("shadow", "RUNNING", 3, 2),
        ("canary", "RUNNING", 3, 2),
        ("canary", "RUNNING", 3, 2),
        ("promoting", "RUNNING", 3, 2),
        ("stable", "", None, 3),
    ]
    assert seen[0][:2] == ("loading", "RUNNING")
    ((key, told),) = runs(address).items()
    last = store.read(home_of(workdir))
    assert last is not None
    assert key == f"rollout/m/{last.rollout}"
    assert (told.info.status, told.data.tags["podway.state"]) == ("FINISHED", "stable")
    assert points(address, told, "share")[-3:] == [(3, 0.5), (4, 0.5), (5, 0.0)]
    assert told.data.metrics["new/requests"] == 150
    assert told.data.params["rollout.requests"] == "40"
    tags = {
        int(each.version): each.tags for each in client(address).search_model_versions("name='m'")
    }
    assert tags[3]["podway.rollout"].startswith("stable, since 20")
    assert "podway.rollout" not in tags[2]


def test_a_return_says_why_and_is_told_once(workdir, address):  # noqa: F811
    telling = run(workdir, address, "UNAVAILABLE")
    (told,) = runs(address).values()
    assert (told.info.status, told.data.tags["podway.state"]) == ("FAILED", "returned")
    assert "of its 50 requests failed" in told.data.tags["podway.problem"]
    assert told.data.metrics["new/failed"] == 1.0
    assert record.aliases("m", workdir) == {"champion": 2, "stable": 2}
    first = rows(address)
    again = a_controller(workdir, target=Seeing(workdir, ""), tell=telling)
    again.begin("m", 3, PLAN)
    again.run()
    assert [run.info.status for run in runs(address).values()] == ["FINISHED", "FAILED"]
    before = rows(address)
    assert before["runs"] == first["runs"] + 1
    for kind, directory in catch_up.found(workdir)[1]:
        tell.tell(telling.database, kind, directory)
    after = rows(address)
    more = {name: after[name] - before[name] for name in ("runs", "metrics")}
    assert more == {"runs": 3, "metrics": 3}, "versions 1 to 3, and their sizes"


def test_what_a_database_missed_of_a_rollout_is_told_afterwards(workdir, address, tmp_path):  # noqa: F811
    each = a_controller(workdir, target=Seeing(workdir, ""))
    state = each.begin("m", 3, PLAN)
    see(workdir, state.rollout)
    (told,) = operation.rollouts(epath.Path(home_of(workdir)))
    assert (told.status, told.ended) == ("RUNNING", None)
    each.run()
    found = [place for kind, place in catch_up.found(workdir)[1] if kind == "rollout"]
    assert found == [pathlib.Path(home_of(workdir))]
    tell.tell(Database(address, workdir), "rollout", found[0])
    (run,) = runs(address).values()
    assert [step for step, _ in points(address, run, "share")] == [0, 1, 2, 3, 4, 5]
