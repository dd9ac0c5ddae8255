"""Metrics of what lies in a workdir, and the verb."""

import dataclasses
import datetime
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import pytest
from etils import epath
from prometheus_client.parser import text_string_to_metric_families

from podway.framework.config.limits import Limits
from podway.framework.report import artefacts
from podway.framework.runs import lock
from podway.launch import cli
from podway.launch.monitor import data, observe, page, training
from podway.launch.monitor.alerts import catalogue
from podway.launch.monitor.observe import Subject
from tests.launch import world
from tests.launch.monitor.programs import answers, wait


def read(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """name → values of the labels, by the catalogue's order → value."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        labels = catalogue.BY_NAME[family.name].labels
        found[family.name] = {
            tuple(sample.labels[label] for label in labels): sample.value
            for sample in family.samples
        }
    return found


@pytest.fixture(scope="module")
def workdir(shop, folder, tmp_path_factory) -> pathlib.Path:
    """A copy, which tests may change."""
    home = tmp_path_factory.mktemp("monitored") / "w"
    for name in ("datasets", "runs"):
        shutil.copytree(folder / "w" / name, home / name)
    return home


def told(capsys, *arguments: str) -> tuple[int, str, str]:
    code = 0
    try:
        cli.main(["monitor", *arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    out = capsys.readouterr()
    return code, out.out, out.err


def test_a_model_is_watched_from_its_workdir(shop, folder, capsys):
    code, text, _ = told(capsys, "shop", "--once", "--workdir", str(folder / "w"))
    assert code == 0
    found = read(text)
    (who,) = found["podway_data_rows"]
    assert who[0] == "shop"
    assert found["podway_data_rows"][who] == len(world.events())
    assert found["podway_data_last_event_timestamp_seconds"][who] > 1_600_000_000
    assert abs(found["podway_data_built_timestamp_seconds"][who] - time.time()) < 86_400
    (run,) = found["podway_training_loss"]
    assert run == ("shop", pathlib.Path(shop.run).name)
    assert found["podway_training_state"][(*run, "finished")] == 1
    assert sum(found["podway_training_state"].values()) == 1
    assert found["podway_training_planned_steps"][run] == 30
    assert 0 < found["podway_training_goodput_percent"][run] <= 100
    assert found["podway_training_phase_seconds"][(*run, "step")] > 0
    assert any(name.startswith("ndcg") for *_, name in found["podway_training_validation"])
    assert not any(found["podway_monitor_problem"].values())


def test_rejected_rows_have_a_metric_by_reason(workdir):
    (_, manifest), *_ = data.versions(epath.Path(workdir), "shop")
    report = manifest.details["report"]
    report["rejected"] = {"time is no time": 3, "no item": 4}
    made = data._counts(("shop", "v"), manifest)
    found = {each.values[2:]: each.value for each in made if each.metric is catalogue.DATA_REJECTED}
    assert found == {("time is no time",): 3, ("no item",): 4}


def test_the_newest_dataset_is_held_against_the_one_before(workdir, tmp_path):
    """A second dataset, whose statistics are altered: PSI, and the rule of rows."""
    home = tmp_path / "w"
    shutil.copytree(workdir, home)
    (directory, _), *_ = data.versions(epath.Path(home), "shop")
    other = directory.parent / "ffffffffffff-ffffffff"
    shutil.copytree(directory, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest |= {"version": other.name, "created": "2099-01-01T00:00:00+00:00"}
    (other / "manifest.json").write_text(json.dumps(manifest))
    content = json.loads((other / "statistics.json").read_text())
    item = content["splits"]["train"]["item"]
    more = 1000 * item["top"][0][2]  # of 70 lists, chance explains much
    item["top"][0][2] += more
    item["count"] += more
    (other / "statistics.json").write_text(json.dumps(content))
    few = {each.metric.name for each in data.samples(epath.Path(home), "shop", Limits())}
    assert "podway_data_psi" not in few
    made = data.samples(epath.Path(home), "shop", Limits(rows=40))
    drift = {each.values[2:]: each.value for each in made if each.metric is catalogue.DATA_DRIFT}
    assert drift["train", "item"] == 2
    assert {each.values[1] for each in made} == {other.name}


def test_a_run_that_failed_and_one_that_is_in_training(workdir):
    made = artefacts.run(next((workdir / "runs" / "shop").glob("[0-9a-f]*")))
    states = {}
    for state in ("failed", "stopped"):
        problem = "the loss is nan" if state == "failed" else ""
        changed = type(made)(**{**vars(made), "manifest": None, "ended": {"problem": problem}})
        states[state] = {
            each.values[-1]
            for each in training.of_run(changed)
            if each.metric is catalogue.TRAINING_STATE and each.value
        }
    assert states == {"failed": {"failed"}, "stopped": {"stopped"}}


def test_the_newest_run_and_those_in_training_are_watched(workdir):
    made = artefacts.run(next((workdir / "runs" / "shop").glob("[0-9a-f]*")))

    def at(when: str):
        return type(made)(**{**vars(made), "begun": {"when": when}})

    assert training.watched([at("2020"), at("2022"), at("2021")]) == [at("2022")]
    now = datetime.datetime.now(datetime.UTC).isoformat()
    busy = {"manifest": None, "holder": dataclasses.replace(lock.Holder.here(), renewed=now)}
    trains = dataclasses.replace(at("2021"), **busy)
    assert training.watched([at("2020"), at("2022"), trains]) == [at("2022"), trains]


def test_a_loss_that_is_not_finite_is_exported_as_nan():
    text = page.text(catalogue.one(catalogue.TRAINING_LOSS, ("e", "r"), float("nan")))
    assert text.endswith('podway_training_loss{experiment="e",run="r"} NaN\n')


def test_a_part_that_cannot_be_read_costs_its_own_metrics(workdir, tmp_path, capsys):
    home = tmp_path / "w"
    shutil.copytree(workdir, home)
    next((home / "datasets" / "shop").glob("*/schema.json")).write_text("{")
    subject = Subject("shop", "shop", epath.Path(home))
    samples = observe.observe(subject)
    problems = {
        each.values[1]: each.value for each in samples if each.metric is catalogue.MONITOR_PROBLEM
    }
    assert (problems["data"], problems["training"]) == (1, 0)
    assert any(each.metric is catalogue.TRAINING_LOSS for each in samples)


def test_once_says_what_it_could_not_read(shop, folder, capsys, tmp_path):
    options = ("--once", "--workdir", str(folder / "w"), "--log", str(tmp_path / "nowhere"))
    code, text, error = told(capsys, "shop", *options)
    assert code == 1
    assert "live could not be read" in error
    assert "podway_training_loss" in text


def test_a_textfile_is_written_in_one_step(shop, folder, capsys, tmp_path):
    file = tmp_path / "podway.prom"
    told(capsys, "shop", "--once", "--workdir", str(folder / "w"), "--textfile", str(file))
    assert "podway_data_rows" in read(file.read_text())
    assert [each.name for each in tmp_path.iterdir()] == ["podway.prom"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing",), "'nothing' is neither a config .* nor a model in workdir/models"),
        (("shop", "--every", "0"), "--every is 0; give more than 0 seconds"),
        (("shop", "--window", "nan"), "--window is nan; give more than 0 hours"),
        (("shop", "--key-file", "k"), "--key-file is for --log; give both"),
        (("rules",), "--output is missing; give the folder"),
        (("rules", "--output", "o", "--thresholds.rows", "0"), "thresholds.rows is 0; give more"),
        ((), "MODEL is missing: give a config, as `podway configs` lists them, or the name"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(capsys, arguments, said):
    code, _, error = told(capsys, *arguments)
    assert code != 0
    assert re.search(said, error), error


def test_rules_are_written(capsys, tmp_path):
    code, text, _ = told(capsys, "rules", "--output", str(tmp_path), "--thresholds.rows", "7")
    assert code == 0
    assert len(text.splitlines()) == len(list(tmp_path.iterdir())) == 4
    assert ">= 7" in (tmp_path / "podway.rules.yml").read_text()


def test_the_page_is_served_until_sigterm(shop, folder):
    command = [sys.executable, "-m", "podway.launch.cli", "monitor", "shop", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--every", "0.5", "--workdir", str(folder / "w")],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[1]
        wait(lambda: answers(address), lambda: "no answer")

        def passed() -> float:
            with urllib.request.urlopen(address, timeout=10) as response:
                found = read(response.read().decode())
            return found.get("podway_monitor_pass_timestamp_seconds", {}).get(("shop",), 0.0)

        first = wait(passed, lambda: "no pass")
        wait(lambda: passed() > first, lambda: "one pass alone")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
