"""Requests to a published model, held against the dataset that it learned from."""

import collections
import json
import math
import pathlib
import time

import numpy as np
import pytest
from etils import epath

from podway.export.server import pseudonym
from podway.framework.config.limits import Limits
from podway.launch.monitor import live, observe, published, requests
from podway.launch.monitor.alerts import catalogue
from podway.launch.monitor.observe import Subject
from tests.launch import world

FEW = Limits(rows=40)
KEY = b"0123456789abcdef"
LOWEST = live._LOWEST


def line(history, items=(), scores=(), **more) -> dict:
    made = {
        "time": time.time(),
        "model": "shop",
        "version": 1,
        "signature": "serving_default",
        "inputs": {"history": history},
        "outputs": {"item": items, "score": scores},
        "hashed": [],
    }
    return made | more


def log(folder: pathlib.Path, *lines: dict, name: str = "requests-h-0-1.jsonl") -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(each) + "\n" for each in lines))
    return str(folder)


def histories() -> list[list[str]]:
    """Those of the users, oldest event first, as a client has them."""
    found = collections.defaultdict(list)
    for user, item, _ in sorted(world.events(), key=lambda each: each[2]):
        found[user].append(item)
    return list(found.values())


def padded(rows: list[list[str]]) -> list[list[str]]:
    longest = max(map(len, rows))
    return [row + [""] * (longest - len(row)) for row in rows]


def found(folder, workdir, **options) -> dict:
    """(name, last label) → value, of version 1."""
    subject = Subject("shop", "shop", epath.Path(workdir), log=folder, **{"limits": FEW, **options})
    return {
        (each.metric.name, each.values[2:]): each.value
        for each in observe.observe(subject, {"live": observe.PARTS["live"]})
    }


@pytest.fixture
def workdir(shop, folder):
    return folder / "w"


def test_requests_like_the_training_data_have_not_drifted(workdir, tmp_path):
    told = found(log(tmp_path / "log", line(padded(histories()))), workdir)
    assert told["podway_live_rows", ()] == 70
    assert told["podway_live_drift", ("history",)] == 0
    assert told["podway_live_drift", ("history (length)",)] == 0
    assert told["podway_live_unjudged_features", ()] == 0
    assert told["podway_live_fallback_share", ()] < 0.05
    assert 0 < told["podway_live_unknown_share", ("history",)] < 0.2  # data.max_items keeps 26


def test_other_items_and_other_lengths_are_drift(workdir, tmp_path):
    told = found(log(tmp_path / "log", line([["i1"]] * 70)), workdir)
    assert told["podway_live_drift", ("history",)] == 2
    assert told["podway_live_drift", ("history (length)",)] == 2
    assert told["podway_live_psi", ("history",)] > 1


def test_few_rows_have_no_verdict(workdir, tmp_path):
    told = found(log(tmp_path / "log", line([["i1"]] * 39)), workdir)
    assert told["podway_live_rows", ()] == 39
    assert ("podway_live_drift", ("history",)) not in told
    assert told["podway_live_unjudged_features", ()] == 2


def test_hashed_items_are_found_again_by_the_key_alone(workdir, tmp_path):
    rows = [[pseudonym.of(one.encode(), KEY) for one in row] for row in histories()]
    folder = log(tmp_path / "log", line(padded(rows), hashed=["history"]))
    told = found(folder, workdir, key=KEY)
    assert told["podway_live_drift", ("history",)] == 0
    assert told["podway_live_unknown_share", ("history",)] < 0.2
    without = found(folder, workdir)
    assert without["podway_live_rows", ()] == 0
    assert not any(name == "podway_live_drift" for name, _ in without)


def test_unknown_items_and_rows_that_fall_back(workdir, tmp_path):
    rows = [["i1", "new"], ["new", ""], ["", ""], ["i1", "i2"]]
    told = found(log(tmp_path / "log", line(rows)), workdir)
    assert told["podway_live_unknown_share", ("history",)] == pytest.approx(2 / 5)
    assert told["podway_live_fallback_share", ()] == 0.5


def test_ids_are_taken_as_they_are(workdir, tmp_path):
    told = found(log(tmp_path / "log", line([[2, 0], [9999, 0]], signature="ids")), workdir)
    assert told["podway_live_unknown_share", ("history",)] == 0.5


def test_lists_are_judged_without_labels(workdir, tmp_path):
    words = live.reference(workdir, "shop", 1).vocabulary("item")
    best = words.values[2 + int(np.argmax(words.counts[2:]))]
    rare = words.values[2 + int(np.argmin(words.counts[2:]))]
    items = [[best, rare], [best, ""], ["", ""], [rare, best]]
    scores = [[3.0, 1.0], [2.0, LOWEST], [LOWEST, LOWEST], [None, 1.0]]
    told = found(log(tmp_path / "log", line([["i1"]] * 4, items, scores)), workdir)
    assert told["podway_live_empty_share", ()] == 0.25
    assert told["podway_live_invalid_share", ()] == 0.25
    assert told["podway_live_popular_share", ()] == pytest.approx(3 / 5)
    assert told["podway_live_coverage", ()] == pytest.approx(2 / (len(words) - 2))
    assert told["podway_live_best_score", ("0.5",)] == 2.5  # of 3 and 2


def test_the_window_is_kept(workdir, tmp_path):
    old = line([["i1"]] * 30) | {"time": time.time() - 7200}
    folder = log(tmp_path / "log", old, line([["i1"]] * 5))
    assert found(folder, workdir, window=3600.0)["podway_live_rows", ()] == 5
    assert found(folder, workdir, window=9000.0)["podway_live_rows", ()] == 35
    assert found(folder, workdir, window=9000.0, most=1)["podway_live_rows", ()] == 5


def test_a_version_that_is_not_there_costs_the_others_nothing(workdir, tmp_path):
    folder = log(tmp_path / "log", line([["i1"]] * 5), line([["i1"]], version=77))
    told = found(folder, workdir)
    assert told["podway_live_rows", ()] == 5
    alone = found(log(tmp_path / "other", line([["i1"]], version=77)), workdir)
    assert alone["podway_monitor_problem", ()] == 1
    with pytest.raises(published.LineageError, match=r"version 77, which .* does not hold"):
        live.reference(workdir, "shop", 77)


def test_a_line_that_is_being_written_is_left_out_and_one_that_is_none_is_said(tmp_path):
    folder = tmp_path / "log"
    log(folder, line([["i1"]]))
    file = next(folder.iterdir())
    with file.open("a") as end:
        end.write('{"time": 17')
    assert len(requests.read(folder, "shop", 0, 10)) == 1
    file.write_text(file.read_text() + "\n")
    with pytest.raises(requests.LogError, match=r"requests-h-0-1\.jsonl, line 2 is no logged"):
        requests.read(folder, "shop", 0, 10)
    with pytest.raises(requests.LogError, match="is no folder; give the directory"):
        requests.read(tmp_path / "nowhere", "shop", 0, 10)


def test_other_models_are_passed_over(tmp_path):
    log(tmp_path / "log", line([["i1"]], model="other"), line([["i1"]]))
    assert len(requests.read(tmp_path / "log", "shop", 0, 10)) == 1


def test_quantiles_of_no_scores_are_none(workdir, tmp_path):
    told = found(log(tmp_path / "log", line([["i1"]], [[""]], [[LOWEST]])), workdir)
    assert not any(name == "podway_live_best_score" for name, _ in told)
    assert all(math.isfinite(value) for value in told.values())


def test_all_samples_are_of_the_catalogue():
    names = [metric.name for metric in catalogue.METRICS]
    assert len(names) == len(set(names))
    assert all(name.startswith("podway_") for name in names)
