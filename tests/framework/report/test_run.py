"""The page of a run, whatever became of it."""

import dataclasses
import datetime
import json
import math
import re
from typing import Any

import pytest
from etils import epath

from podway.framework import artifact
from podway.framework.report import artefacts, run
from podway.framework.runs import lock, records

EVIL = "<img src=x onerror=alert(1)>\"'"
SECONDS = {
    "step": 90.0, "compile": 5.0, "input": 1.0, "evaluate": 2.0, "checkpoint": 1.5, "restart": 0.0,
    "other": 0.5,
}  # fmt: skip
GOODPUT = {"goodput_percent": 90.0, "seconds": SECONDS, "sessions": 2, "steps_redone": 7}
EXPERIMENT = {
    "name": "shop",
    "data": {"name": "shop"},
    "model": {"type": "SasRec", "width": 64},
    "trainer": {"steps": 4, "warm_start": {"run": ""}},
}
LEARNING = [{"step": step, "loss": 8 / step, "rate": 100.0} for step in (1, 2, 4)]
JUDGED = [
    {"step": 2, "validation/hr@10": 0.25, "validation/ndcg@10": 0.125, "validation/nll": 3.5},
    {"step": 4, "validation/hr@10": 0.2, "validation/ndcg@10": 0.1, "validation/nll": 3.25},
]


def begin(folder, name="run-1", **files: Any) -> epath.Path:
    """A run's folder in a workdir, with what its files say; `metrics` is a list of records."""
    directory = epath.Path(folder) / "runs" / "shop" / name
    directory.mkdir(parents=True)
    begun = {
        "when": "2026-02-03T04:05:06+00:00",
        "inputs": {"dataset": "data-1"},
        "selection": "ndcg@10",
        "largest_is_best": True,
    }
    for file, content in ({"experiment": EXPERIMENT, "begun": begun} | files).items():
        if file == "metrics":
            text = "".join(json.dumps(record) + "\n" for record in content)
            (directory / records.METRICS).write_text(text)
        else:
            (directory / f"{file}.json").write_text(json.dumps(content))
    return directory


def locked(directory: epath.Path, ago: float = 0.0) -> epath.Path:
    """The run, with a lock that was renewed so many seconds ago."""
    renewed = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=ago)
    holder = dataclasses.replace(lock.Holder.here(), user="Ada", renewed=renewed.isoformat())
    (directory.parent / f"_lock-{directory.name}.json").write_text(holder.text())
    return directory


def commit(directory: epath.Path, **details: Any) -> None:
    config = {"selection": "ndcg@10"}
    artifact.commit(
        directory,
        kind="run",
        name="shop",
        version=directory.name,
        config=config,
        inputs={"dataset": "data-1"},
        code="0123456789",
        details={"selected_step": 2, "validation": {"ndcg@10": 0.125, "hr@10": 0.25}} | details,
        unlisted=(records.PAGE,),
    )


def evaluate(workdir, version="run-1", table: Any = None, users: Any = None) -> epath.Path:
    directory = epath.Path(workdir) / "evaluations" / "shop" / f"of-{version}"
    directory.mkdir(parents=True)
    own = {
        "ndcg@10": {"value": 0.5, "low": 0.375, "high": 0.625},
        "coverage@10": {"value": 0.75},
        "ndcg@10 [target head]": {"value": 0.6, "low": 0.5, "high": 0.7, "users": 1234},
        "ndcg@10 [target tail]": {"value": 0.4, "low": 0.3, "high": 0.45, "users": 66},
    }
    table = {"SasRec": own, "popularity": own | {"ndcg@10": {"value": None}}} | (table or {})
    (directory / "table.json").write_text(json.dumps(table))
    if users is not None:
        (directory / "samples.json").write_text(json.dumps({"users": users}))
    artifact.commit(
        directory,
        kind="evaluation",
        name="shop",
        version=directory.name,
        config={},
        inputs={"run": version},
        code="",
    )
    return directory


def written(directory: epath.Path) -> str:
    """The page; that it cannot be written fails, rather than being logged."""
    text = run.page(artefacts.run(directory))
    run.write(directory)
    assert (directory / records.PAGE).read_text() == text
    return text


def plain(text: str) -> str:
    """What the page says, without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]*>", " ", text, flags=re.DOTALL))


def test_where_the_time_went_and_every_metric(tmp_path):
    directory = begin(tmp_path, metrics=[*LEARNING, *JUDGED, {"step": 4, "fit": 7.5}])
    (directory / "goodput.json").write_text(json.dumps(GOODPUT))
    text = written(directory)
    assert "Goodput 90.0 %: 1 min 40 s in 2 sessions. 7 steps were done again" in plain(text)
    for phase, spent in SECONDS.items():
        assert f">{phase}</td><td>{spent:.1f} s</td><td>{spent:.1f} %</td>" in text
        assert (f'title="{phase}: ' in text) == (spent > 0)
    assert "2 to 8, at last 2; step 1 to 4" in text  # the loss
    assert "validation: nll: 3.25 to 3.5, at last 3.25; step 2 to 4" in text  # in the same chart
    assert "ndcg@10: 0.1 to 0.125, at last 0.1; step 2 to 4" in text
    assert text.count("selected: step 2") == 2  # both have the step that was selected
    assert "100 to 100, at last 100; step 1 to 4" in text
    assert "fit 7.5" in plain(text)  # one value has a tile
    assert "fit" not in re.findall(r"<figcaption><b>(.*?)</b>", text)


def test_the_time_between_sessions_and_how_many_processes_they_had(tmp_path):
    directory = begin(tmp_path, metrics=LEARNING)
    seconds = SECONDS | {"away": 20.0, "waiting": 120.0}
    record = GOODPUT | {
        "goodput_percent": 75.0,
        "seconds": seconds,
        "outside_seconds": 3600.0,
        "history": [{"processes": 4}, {"processes": 3}],
    }
    (directory / "goodput.json").write_text(json.dumps(record))
    text = plain(written(directory))
    assert "Goodput 75.0 %: 2 min 00 s in 2 sessions." in text
    assert "Waiting for machines, 2 min 00 s, is not in it: with that 37.5 %." in text
    assert "1 h 00 min between sessions do not count" in text
    assert "Processes of its sessions: 4, 3." in text
    assert "away 20.0 s 16.7 %" in text
    assert "waiting" not in text.lower().replace("waiting for machines", "")


def test_an_unfinished_run_is_told_by_its_records(tmp_path):
    directory = begin(tmp_path, metrics=[*LEARNING[:2], *JUDGED[:1]])
    with (directory / records.METRICS).open("a") as file:
        file.write('{"step": 4, "lo')  # it was killed while it wrote
    text = plain(written(locked(directory)))
    assert "training SasRec · begun 2026-02-03 04:05 · trained by Ada on" in text
    assert "steps 2 of 4 selected: 2" in text
    assert "ndcg@10, validation 0.1250 at step 2" in text
    assert "Not evaluated on the test split yet" in text
    locked(directory, artefacts.QUIET + 60)
    assert artefacts.run(directory).state == "stopped"
    assert "stopped" in plain(run.page(artefacts.run(directory)))


def test_a_run_that_failed_says_why(tmp_path):
    directory = begin(tmp_path, metrics=LEARNING)
    run.close(directory, ValueError(f"the loss is nan {EVIL}"))
    text = (directory / records.PAGE).read_text()
    assert "failed" in plain(text)
    assert "the loss is nan &lt;img" in text
    assert "<img" not in text
    assert artefacts.run(locked(directory)).state == "training"  # it is being tried again
    (directory.parent / f"_lock-{directory.name}.json").unlink()
    assert artefacts.run(directory).state == "failed"
    records.begin(directory)
    assert artefacts.run(directory).state == "stopped"
    for stopped in (KeyboardInterrupt(), None):
        run.close(directory, stopped)
        assert artefacts.run(directory).state == "stopped"


def test_an_evaluated_run_shows_what_the_evaluation_says(tmp_path):
    item = {"item": "i7", "title": "Seven"}
    users = [
        {"user": "u1", "events": 9, "history": [{"item": "i1"}], "target": item, "rank": 2,
         "list": [{"item": "i2"}, item]},
        {"user": "u2", "events": 1, "history": [{"item": "i1"}], "target": item, "rank": None,
         "list": [{"item": "i2"}]},
    ]  # fmt: skip
    directory = begin(tmp_path, metrics=LEARNING)
    commit(directory)
    evaluate(tmp_path, users=users)
    text = written(directory)
    said = plain(text)
    assert "ndcg@10, test 0.5000 [0.3750, 0.6250]" in said
    assert '0.5000 [0.3750, 0.6250]</td><td class="bad">not finite</td>' in text
    assert "0.7500</td>" in text
    assert "ndcg@10 by target" in said
    assert "head (1,234)" in said
    assert "head (1,234)\nSasRec: 0.6000 [0.5000, 0.7000]" in text
    assert "User u1 place 2" in said
    assert "8 earlier" in said
    assert '<li class="hit">Seven <span class="soft">i7</span></li>' in text
    assert text.count('class="hit"') == 1
    assert "User u2 in no list" in said


def test_what_differs_from_the_run_before(tmp_path):
    first = begin(tmp_path, "run-0")
    commit(first)
    changed = EXPERIMENT | {"model": {"type": "SasRec", "width": 128}}
    second = begin(tmp_path, "run-1", experiment=changed)
    begun = artefacts.mapping(second / "begun.json") | {"when": "2999-01-01T00:00:00+00:00"}
    (second / "begun.json").write_text(json.dumps(begun))
    text = written(second)
    assert "Against shop run-0" in plain(text)
    assert "<td>model.width</td><td>128</td><td>64</td>" in text
    assert artefacts.before(artefacts.run(first)) is None
    warm = {"steps": 4, "warm_start": {"run": str(second)}}
    third = begin(tmp_path, "run-2", experiment=EXPERIMENT | {"trainer": warm})
    text = plain(written(third))
    assert "Against shop run-1" in text
    assert "the run that it goes on from" in text
    assert "model.width 64 128" in text
    more = {"steps": 8, "parent": "run-2"}
    fourth = begin(tmp_path, "run-3", experiment=EXPERIMENT | {"trainer": more})
    assert "Against shop run-2" in plain(written(fourth))


def test_a_run_that_ended_early_says_so(tmp_path):
    directory = begin(tmp_path, metrics=LEARNING[:2])
    commit(directory, steps=2, ended="no progress in 3 evaluations")
    text = plain(written(directory))
    assert "no progress in 3 evaluations" in text
    assert "steps 2 of 4" in text


def test_a_run_that_stopped_early_and_one_that_goes_on_from_it(tmp_path):
    first = begin(tmp_path, "run-0", metrics=[*LEARNING[:2], JUDGED[0]])
    commit(first, steps=2, ended="stopped early at step 2 of 4: ndcg@10 has not become better")
    found = artefacts.run(first)
    assert (found.done, found.steps, found.state) == (2, 4, "finished")
    text = plain(written(first))
    assert "stopped early at step 2 of 4: ndcg@10 has not become better" in text
    assert "steps 2 of 4" in text
    longer = EXPERIMENT | {"trainer": {"steps": 6, "parent": "run-0"}}
    second = begin(tmp_path, "run-1", experiment=longer)
    assert artefacts.run(second).parent == str(first)
    assert "Against shop run-0" in plain(written(second))


def test_names_and_odd_numbers_of_a_run(tmp_path):
    odd = [{"step": 1, "loss": math.nan, EVIL: 1.0}, {"step": 2, "loss": None}]
    odd += [{"step": 2, f"validation/{EVIL}@10": None, "validation/ndcg@10": None}]
    table = {EVIL: {"ndcg@10": {"value": math.inf}}}
    entry = {"item": EVIL, "title": EVIL}
    users = [
        {"user": EVIL, "events": 1, "history": [entry], "target": entry, "rank": 1, "list": [entry]}
    ]
    experiment = EXPERIMENT | {"model": {"type": EVIL}, "optimizer": {"type": EVIL}}
    directory = begin(tmp_path, metrics=odd, experiment=experiment)
    evaluate(tmp_path, table=table, users=users)
    text = written(directory)
    assert "<img" not in text
    assert text.count("&lt;img") > 10
    assert "no numbers" in text
    assert "Goodput" not in text


@pytest.mark.parametrize("damage", ["", "{", "[1]", '{"seconds": 3}', "\x00\x00", '{"model": 7}'])
def test_what_is_damaged_is_left_out(tmp_path, damage):
    directory = begin(tmp_path, metrics=LEARNING)
    evaluation = evaluate(tmp_path)
    for file in (*directory.iterdir(), evaluation / "table.json", evaluation / "samples.json"):
        file.write_text(damage)
    assert "shop run-1" in written(directory)
    (evaluation / "manifest.json").write_text(damage)
    (directory / "manifest.json").write_text(damage)
    assert "shop run-1" in written(directory)


def test_a_folder_without_anything(tmp_path):
    directory = epath.Path(tmp_path) / "runs" / "shop" / "empty"
    directory.mkdir(parents=True)
    assert "<svg" not in written(directory)


def test_the_page_is_no_part_of_the_artefact_and_an_earlier_one_is_left_alone(tmp_path):
    directory = begin(tmp_path, metrics=LEARNING)
    run.write(directory)
    commit(directory)
    evaluate(tmp_path)
    run.write(directory)
    assert "ndcg@10, test" in (directory / records.PAGE).read_text()
    artifact.read(directory, "run")  # nothing was altered
    assert not any(
        file.path == records.PAGE for file in artifact.read_manifest(directory, "run").files
    )
    (directory / records.PAGE).write_text("as it was")
    (directory / "manifest.json").unlink()
    artifact.commit(
        directory, kind="run", name="shop", version="run-1", config={}, inputs={}, code=""
    )
    run.write(directory)
    assert (directory / records.PAGE).read_text() == "as it was"
    artifact.read(directory, "run")


def test_a_page_that_cannot_be_made_stops_nothing(tmp_path, monkeypatch, caplog):
    directory = begin(tmp_path)
    monkeypatch.setattr(run, "page", lambda found: 1 / 0)
    run.write(directory)
    assert "the page of" in caplog.text
    assert "ZeroDivisionError" in caplog.text
