"""What a follower tells of a run while it is trained, killed, gone on with, and finished."""

import dataclasses
import os
import pathlib
import shutil

import pytest

from podway.launch.follower.follow import ASKED, Follower
from podway.launch.tracking import address as addresses
from podway.launch.tracking import artefact, others

pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'podway[tracking]'")

from tests.launch.tracking.tracked import ME, Training, client, points, rows, runs

KEY = "run/walks/0123456789ab-01234567"


def follower(address, workdir, command=ME) -> Follower:
    return Follower(address, str(workdir), command)


def test_a_run_is_followed_step_by_step(address, tmp_path):
    training, watch = Training(tmp_path), follower(address, tmp_path)
    watch.take({"follow": str(training.directory)})
    assert watch.advance()
    assert runs(address) == {}  # nothing has begun
    training.begin()
    training.steps(1, 3)
    assert watch.advance()
    run = runs(address)[KEY]
    assert run.info.status == "RUNNING"
    assert run.data.params["model.width"] == "16"
    assert run.data.tags["podway.group"].startswith("walks ")
    assert points(address, run, "validation/ndcg_at_5") == [(1, 0.1), (2, 0.2), (3, 0.3 + 4e-17)]
    training.steps(4, 5)
    watch.advance()
    assert [step for step, _ in points(address, run, "loss")] == [1, 2, 3, 4, 5]
    before = rows(address)
    assert watch.advance()
    assert rows(address) == before
    training.leave()
    watch.take({"left": str(training.directory), "problem": ""})
    assert watch.advance()
    run = runs(address)[KEY]
    assert (run.info.status, run.data.tags["podway.problem"]) == ("KILLED", ASKED)


def test_a_failure_is_told_also_of_a_run_that_ended_before_the_follower_had_begun(
    address, tmp_path
):
    training, watch = Training(tmp_path), follower(address, tmp_path)
    watch.take({"follow": str(training.directory)})
    training.begin()
    training.steps(1, 2)
    training.leave("the loss of step 3 is nan")
    watch.take({"left": str(training.directory), "problem": "the loss of step 3 is nan"})
    assert watch.advance()
    run = runs(address)[KEY]
    assert run.info.status == "FAILED"
    assert run.data.tags["podway.problem"] == "the loss of step 3 is nan"
    assert [step for step, _ in points(address, run, "loss")] == [1, 2]


def test_a_killed_run_says_so_and_is_gone_on_with_without_a_second_one(address, tmp_path):
    training, watch = Training(tmp_path), follower(address, tmp_path)
    watch.take({"follow": str(training.directory)})
    training.begin()
    training.steps(1, 7)
    watch.advance()
    training.steps(8, 9)
    training.leave(None)
    watch.killed()
    assert watch.advance()
    run = runs(address)[KEY]
    assert (run.info.status, run.data.tags["podway.problem"]) == ("KILLED", artefact.SILENT)
    assert len(points(address, run, "loss")) == 9

    training.lock.unlink()
    later = follower(address, tmp_path)
    training.begin(done=5)  # from the checkpoint of step 5
    later.take({"follow": str(training.directory)})
    later.advance()
    run = runs(address)[KEY]
    assert run.info.status == "RUNNING"
    assert "podway.problem" not in run.data.tags
    training.steps(6, 12)
    later.advance()
    assert [step for step, _ in points(address, run, "loss")] == list(range(1, 13))

    # The first one, were it slow, does not end what the second one tells of.
    watch.take({"follow": str(training.directory)})
    training.given_to(os.getppid())
    watch.killed()
    watch.advance()
    assert runs(address)[KEY].info.status == "RUNNING"
    training.leave()


def test_a_run_that_another_process_trains_is_left_to_it(address, tmp_path):
    training, watch = Training(tmp_path), follower(address, tmp_path)
    training.begin()
    training.given_to(os.getppid())
    watch.take({"follow": str(training.directory)})
    watch.take({"left": str(training.directory), "problem": "is being trained by another"})
    assert watch.advance()
    assert runs(address) == {}


def test_what_a_database_that_is_away_misses_is_told_when_it_answers(address, tmp_path, capfd):
    away = addresses.Address(f"sqlite:///{tmp_path}/block/mlflow.db")
    (tmp_path / "block").write_text("")
    training, watch = Training(tmp_path), follower(away, tmp_path)
    watch.take({"follow": str(training.directory)})
    training.begin()
    training.steps(1, 4)
    assert not watch.advance()
    said = capfd.readouterr().out
    assert "does not take what it is told" in said
    assert f"podway track {tmp_path}" in said
    assert not watch.advance()  # it is not asked again at once
    assert watch.pause is not None
    assert watch.pause > 20
    (tmp_path / "block").unlink()
    (tmp_path / "block").mkdir()
    pathlib.Path(address.uri.removeprefix("sqlite:///")).rename(tmp_path / "block" / "mlflow.db")
    watch.hurry()
    assert watch.advance()
    assert "answers again" in capfd.readouterr().out
    assert [step for step, _ in points(away, runs(away)[KEY], "loss")] == [1, 2, 3, 4]
    training.leave()


def test_what_can_never_be_told_stops_nothing_else(address, tmp_path, capfd, monkeypatch):
    refused, training = Training(tmp_path, "a-1"), Training(tmp_path)
    for each in (refused, training):
        each.begin()
        each.leave()
    whole = artefact.run
    monkeypatch.setattr(
        artefact,
        "run",
        lambda directory, **options: [
            dataclasses.replace(told, parameters={"": "no name"} if told.version == "a-1" else {})
            for told in whole(directory, **options)
        ],
    )
    watch = follower(address, tmp_path)
    for each in (refused, training):
        watch.take({"tell": ["run", str(each.directory)]})
    assert watch.advance()
    assert f"is not told of ('run', '{refused.directory}')" in capfd.readouterr().out
    assert KEY in runs(address)


def test_other_kinds_tell_of_themselves_and_belong_to_their_run(address, tmp_path):
    training = Training(tmp_path)
    training.begin()
    training.leave()
    sweep = tmp_path / "sweeps" / "walks" / "3"
    sweep.mkdir(parents=True)
    others.write(
        sweep,
        name="walks",
        version="3",
        status="FAILED",
        run=training.directory.name,
        config={"rules": [{"metric": "ndcg@10", "margin": 0.01}]},
        metrics={"ndcg@10": 0.2, "latency": float("nan")},
        curve={"loss": [3.0, 2.0, float("nan")]},
        facts={"verdict": "worse", "page": sweep / "report.html"},
    )
    watch = follower(address, tmp_path)
    watch.take({"tell": ["run", str(training.directory)]})
    for _ in range(2):
        watch.take({"tell": ["sweeps", str(sweep)]})
    assert watch.advance()
    told = runs(address)["sweeps/walks/3"]
    assert told.info.status == "FAILED"
    assert told.data.tags["mlflow.parentRunId"] == runs(address)[KEY].info.run_id
    assert told.data.tags["podway.verdict"] == "worse"
    assert told.data.params["sweeps.rules.0.metric"] == "ndcg@10"
    assert told.data.metrics["ndcg_at_10"] == 0.2
    assert points(address, told, "loss")[:2] == [(1, 3.0), (2, 2.0)]
    assert list(others.found(tmp_path)) == [("sweeps", sweep)]
    watch.take({"tell": ["sweeps", str(tmp_path)]})  # says nothing of itself
    assert watch.advance()
    assert len(runs(address)) == 2


def test_a_field_that_changes_in_a_run_stays_as_it_was_and_is_noted(address, tmp_path):
    first = Training(tmp_path, log_every=1)
    first.begin()
    first.leave()
    watch = follower(address, tmp_path)
    watch.take({"tell": ["run", str(first.directory)]})
    assert watch.advance()
    Training(tmp_path, log_every=5)
    watch.take({"tell": ["run", str(first.directory)]})
    assert watch.advance()
    run = runs(address)[KEY]
    assert run.data.params["trainer.log_every"] == "1"
    assert run.data.tags["podway.changed"] == "trainer.log_every: 1 → 5"


def test_two_processes_that_tell_of_one_run_make_one(address, tmp_path, monkeypatch):
    from podway.launch.tracking.database import Database

    training = Training(tmp_path)
    training.begin()
    (told,) = artefact.run(training.directory)
    one, other = (Database(address, tmp_path) for _ in range(2))
    create = one.client.create_run

    def slow(*arguments, **options):
        monkeypatch.setattr(one.client, "create_run", create)
        other.tell(told)  # after `one` has searched, and before it creates
        return create(*arguments, **options)

    monkeypatch.setattr(one.client, "create_run", slow)
    one.tell(told)
    run = runs(address)[KEY]
    assert len(client(address).search_runs([run.info.experiment_id])) == 1
    assert rows(address)["runs"] == 2  # one of which is deleted
    training.leave()


def test_a_workdir_that_lost_its_notes_finds_its_runs_again(address, tmp_path):
    training, watch = Training(tmp_path), follower(address, tmp_path)
    training.begin()
    training.steps(1, 2)
    training.leave("broken")
    watch.take({"tell": ["run", str(training.directory)]})
    assert watch.advance()
    before = rows(address)
    for file in (tmp_path / "tracked").iterdir():
        file.unlink()
    watch.take({"tell": ["run", str(training.directory)]})
    assert watch.advance()
    assert rows(address) == before
    assert set(runs(address)) == {KEY}


def test_a_lost_database_is_filled_anew_though_the_notes_are_there(address, tables, tmp_path):
    training, watch = Training(tmp_path), follower(address, tmp_path)
    training.begin()
    training.steps(1, 2)
    training.leave()
    watch.take({"tell": ["run", str(training.directory)]})
    assert watch.advance()
    again = addresses.Address(f"sqlite:///{tmp_path}/again.db")
    shutil.copy(tables, tmp_path / "again.db")
    (notes,) = (tmp_path / "tracked").iterdir()
    notes.write_text(notes.read_text().replace(address.id, again.id))
    later = follower(again, tmp_path)
    later.take({"tell": ["run", str(training.directory)]})
    assert later.advance()
    assert rows(again) == rows(address)


def test_seeds_are_one_group(tmp_path):
    seeds = [Training(tmp_path, f"{n}", seed=n, log_every=n + 1) for n in range(3)]
    other = Training(tmp_path, "4", batch_size=8)
    groups = []
    for each in (*seeds, other):
        each.begin()
        groups.append(artefact.run(each.directory)[0].tags["podway.group"])
        each.leave()
    assert len(set(groups[:3])) == 1
    assert groups[3] != groups[0]
