"""The controller on files: what it decides, and that after a kill anywhere the end is the same."""

import dataclasses
import json
import os
import pathlib
import threading
import time

import pytest

from podway.export import layout
from podway.export.versions import models_config, promote
from podway.export.versions.models_config import Served
from podway.framework.config import Rollout
from podway.launch.rollout import controller as controllers
from podway.launch.rollout import judgement
from podway.launch.rollout.controller import Controller, StuckError
from podway.launch.rollout.labels import Labels
from podway.launch.rollout.target import RolloutError
from podway.online.rollout import observation, state, store
from podway.online.rollout.observation import Observation, Tally
from tests.launch.targets import models
from tests.online.rollout.kills import killed

PLAN = Rollout(
    shadow=0.5,
    shares=(0.1, 0.5),
    requests=40,
    shortest_seconds=0,
    longest_seconds=20,
    client_seconds=0,
    interval_seconds=0.01,
)


@pytest.fixture
def workdir(tmp_path) -> pathlib.Path:
    """Version 2 serves and has the label stable; 3 is to come."""
    for _ in range(3):
        models.add(tmp_path / "w", "m")
    promote.rollback("m", tmp_path / "w")
    models.label(tmp_path / "w", "m", 2, "stable")
    return tmp_path / "w"


def home_of(workdir):
    return layout.models(workdir) / "m"


def a_controller(workdir, **given) -> Controller:
    target = given.pop("target", None) or Labels("m", workdir, "", say=lambda _: None)
    return Controller(home_of(workdir), target, say=given.pop("say", lambda _: None), **given)


def served(workdir) -> Served:
    return models_config.served(layout.server_config(workdir), "m")


def see(workdir, rollout: str, new: str = "", requests: int = 50) -> None:
    """Clients leave what they saw: of the old version all is well, the new one fails with `new`."""
    folder = store.observations(home_of(workdir), rollout)
    folder.mkdir(parents=True, exist_ok=True)
    line = {}
    for arm, code in (("stable", ""), ("canary", new)):
        line[arm] = Tally()
        for _ in range(requests):
            line[arm].add(Observation(arm, 0.01, code, score=1.0))
    with open(folder / "client.jsonl", "a") as file:
        file.write(json.dumps({arm: each.json() for arm, each in line.items()}) + "\n")


class Seeing(Labels):
    """Clients that see something new at each share, once, whoever is the controller."""

    def __init__(self, workdir, code: str):
        super().__init__("m", workdir, "", say=lambda _: None)
        self.workdir, self.code = workdir, code

    def share(self, now) -> None:
        seen = home_of(self.workdir) / f"seen-{now.rollout}-{now.number}"
        if not seen.exists():
            see(self.workdir, now.rollout, self.code)
            seen.touch()


def run(workdir, code: str = "", plan: Rollout = PLAN) -> state.State:
    each = a_controller(workdir, target=Seeing(workdir, code))
    each.begin("m", 3, plan)
    return each.run()


def phases(workdir) -> list[str]:
    return [each.phase for each in store.history(home_of(workdir))]


def test_what_is_no_worse_becomes_stable(workdir):
    assert run(workdir).phase == "stable"
    assert phases(workdir) == ["loading", "shadow", "canary", "canary", "promoting", "stable"]
    assert served(workdir) == Served((3,), {"stable": 3})


def test_what_is_worse_goes_back(workdir):
    last = run(workdir, "UNAVAILABLE")
    assert last.phase == "returned"
    assert "100.00% of its 50 requests failed (UNAVAILABLE 50)" in last.reason
    assert phases(workdir) == ["loading", "shadow", "returning", "returned"]
    assert served(workdir) == Served((2,), {"stable": 2})


@pytest.mark.parametrize(
    ("code", "end", "every"),
    [
        ("UNAVAILABLE", "returned", 7),
        ("", "stable", 7),
        pytest.param("UNAVAILABLE", "returned", 1, marks=pytest.mark.slow),
        pytest.param("", "stable", 1, marks=pytest.mark.slow),
    ],
)
def test_a_kill_at_any_write_is_followed_by_the_same_end(workdir, tmp_path, code, end, every):
    whole = tmp_path / "whole"
    (home,) = killed(workdir, whole, lambda home: None)
    run(home, code)
    wanted = (phases(home), served(home))
    homes = killed(workdir, tmp_path / "killed", lambda home: run(home, code), every=every)
    assert len(homes) * every > 60, "writes were not counted"
    for home in homes:
        now = store.read(home_of(home))
        assert now is None or now in store.history(home_of(home))
        if now is not None and now.share and now.phase == "canary":
            assert served(home).labels["canary"] == 3, "users are sent where nobody answers"
        promote.read("m", home)  # whatever stands there can be read
        last = run(home, code) if now is None or not now.is_over else now
        assert last.phase == end, f"{home}, from {now}"
        assert (phases(home), served(home)) == wanted, f"{home}, from {now}"


def test_a_new_version_that_an_export_had_served_goes_back_for_all(workdir):
    models.add(workdir, "m")
    assert served(workdir) == Served((2, 4), {"stable": 2}), "those without a label get 4"
    each = a_controller(workdir, target=Seeing(workdir, "UNAVAILABLE"))
    each.begin("m", 4, PLAN)
    assert each.run().phase == "returned"
    assert served(workdir) == Served((2,), {"stable": 2})


def test_the_version_before_is_loaded_until_the_new_one_is_seen_to_answer(workdir):
    """Or a way back from there would have to load it, which may take minutes."""
    models.add(workdir, "m")
    asked = []

    class Promoting(Seeing):
        def verify(self, now):
            if now.phase == "promoting" and not asked:
                asked.append(served(workdir))
                raise RolloutError("version 2 answers")
            return super().verify(now)

    each = a_controller(workdir, target=Promoting(workdir, ""))
    each.begin("m", 4, PLAN)
    last = each.run()
    assert (last.phase, last.reason) == ("returned", "version 2 answers")
    assert 2 in asked[0].versions
    assert asked[0].labels["stable"] == 4
    assert served(workdir) == Served((2,), {"stable": 2})


def test_the_way_back_does_not_wait_for_files_to_be_read(workdir, monkeypatch):
    """Those of a large model take minutes, and its server has them already."""

    class Seen(Seeing):
        def share(self, now):
            super().share(now)
            reading = f"{promote.__name__}.check_admissible"
            monkeypatch.setattr(reading, lambda place: pytest.fail(f"{place} is read"))

    each = a_controller(workdir, target=Seen(workdir, "UNAVAILABLE"))
    each.begin("m", 3, PLAN)
    assert each.run().phase == "returned"


def test_a_version_that_cannot_be_loaded_goes_back(workdir):
    class Failing(Seeing):
        def load(self, now):
            super().load(now)
            raise RolloutError("no room")

    each = a_controller(workdir, target=Failing(workdir, ""))
    each.begin("m", 3, PLAN)
    last = each.run()
    assert (last.phase, last.reason) == ("returned", "no room")
    assert served(workdir) == Served((2,), {"stable": 2})


def test_a_way_back_is_tried_until_the_servers_say_so(workdir, monkeypatch):
    monkeypatch.setattr(controllers, "_AGAIN", 0.01)
    said = []

    class Late(Seeing):
        left = 3

        def verify(self, now):
            self.left -= 1
            if self.left >= 0:
                raise RolloutError("version 3 answers")
            return super().verify(now)

    each = a_controller(workdir, target=Late(workdir, "UNAVAILABLE"), say=said.append)
    each.begin("m", 3, PLAN)
    assert each.run().phase == "returned"
    assert said.count("not there yet: version 3 answers") == 3
    other = Late(workdir, "UNAVAILABLE")
    other.left = 1000
    each = a_controller(workdir, target=other, patience=0.1)
    each.begin("m", 3, PLAN)
    with pytest.raises(StuckError, match="version 3 answers; the same command tries again"):
        each.run()
    assert phases(workdir)[-1] == "returning", "nothing is claimed"
    assert run(workdir).phase == "returned"


def test_a_version_that_nobody_asks_goes_back(workdir):
    each = a_controller(workdir)
    each.begin("m", 3, dataclasses.replace(PLAN, longest_seconds=0.1))
    last = each.run()
    assert last.phase == "returned"
    assert last.reason == "it had 0 of 40 requests in 0.1 s (rollout.longest_seconds)"


def test_somebody_ends_it(workdir):
    each = a_controller(workdir)
    now = each.begin("m", 3, PLAN)
    thread = threading.Thread(target=each.run)
    thread.start()
    time.sleep(0.2)
    demand = {"rollout": now.rollout, "who": "ada"}
    (home_of(workdir) / controllers.ABORT).write_text(json.dumps(demand))
    thread.join(20)
    last = store.history(home_of(workdir))[-1]
    assert (last.phase, last.reason) == ("returned", "ended by ada")
    assert not (home_of(workdir) / controllers.ABORT).exists()


def test_a_demand_about_another_rollout_is_not_followed(workdir):
    demand = {"rollout": "3-before", "who": "ada"}
    (home_of(workdir) / controllers.ABORT).write_text(json.dumps(demand))
    assert run(workdir).phase == "stable"


def test_a_label_that_somebody_moved_stays_where_it_is(workdir):
    models.add(workdir, "m")

    class Moved(Seeing):
        def share(self, now):
            super().share(now)
            if now.phase == "canary":
                promote.promote("m", 4, workdir, label="stable")

    each = a_controller(workdir, target=Moved(workdir, ""))
    each.begin("m", 3, PLAN)
    last = each.run()
    assert last.phase == "returned"
    assert last.reason == "label 'stable' was moved meanwhile, to 4"
    assert served(workdir) == Served((4,), {"stable": 4})


def test_one_rollout_at_a_time_and_the_plan_with_which_it_began(workdir):
    models.add(workdir, "m")
    said = []
    each = a_controller(workdir, say=said.append)
    now = each.begin("m", 3, PLAN)
    assert each.begin("m", 3, dataclasses.replace(PLAN, requests=7)) == now
    assert said[-1] == "m: goes on as it was begun: rollout.requests stays 40"
    with pytest.raises(RolloutError, match=r"m version 3: loading: one rollout .*--abort"):
        each.begin("m", 4, PLAN)


def test_where_there_is_nothing_to_go_back_to(tmp_path):
    models.add(tmp_path, "m")
    with pytest.raises(RolloutError, match=r"no version beside 1.*promote m 1 --label stable"):
        a_controller(tmp_path).begin("m", 1, PLAN)
    models.add(tmp_path, "m")
    now = a_controller(tmp_path).begin("m", 2, PLAN)
    assert now.good == 1, "an export had 2 serve those without a label"
    assert served(tmp_path).labels == {"stable": 1}


def test_what_was_judged_is_not_judged_again_after_a_kill(workdir):
    """Evidence that is read twice would be stronger than it is."""
    each = a_controller(workdir)
    now = each.begin("m", 3, PLAN)
    see(workdir, now.rollout, requests=20)
    stop = threading.Event()

    class Stop(Exception):
        pass

    def check():
        folder = store.observations(home_of(workdir), now.rollout)
        if (folder / judgement.FILE).exists() and stop.is_set():
            raise Stop
        stop.set()

    for _ in range(2):
        with pytest.raises(Stop):
            a_controller(workdir, check=check).run()
    seen, _ = controllers.judgement.parse(
        (store.observations(home_of(workdir), now.rollout) / judgement.FILE).read_text()
    )
    assert seen.new.requests == 20
    assert observation.total([seen.old]).requests == 20


def test_observations_need_a_folder_of_a_disk():
    far = Controller(store.epath.Path("gs://b/w/models/m"), Labels("m", "gs://b/w", ""))
    now = state.begin("m", 2, 1, PLAN, state.now())
    with pytest.raises(RolloutError, match="give --observations FOLDER"):
        far._folder(now)
    near = dataclasses.replace(far, observations="w/seen")
    assert near._folder(now) == pathlib.Path("w/seen") / now.rollout
    assert os.fspath(near._folder(now)).startswith("w/seen/3" if now.version == 3 else "w/seen/2")
