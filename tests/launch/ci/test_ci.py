"""The checks of a change, and the report of them."""

import dataclasses
import json
import subprocess

import pytest
import yaml

from podway.framework import codec
from podway.framework.config import Better, Gate, NotWorse, Within
from podway.framework.error import ConfigError, PodwayError
from podway.launch.ci import checks, report, workflows
from podway.launch.ci.checks import Plan, Result
from tests.launch.loop import days


def plan(folder, **changes) -> Plan:
    return Plan(
        **{"name": "shop", "workdir": folder / "w", "golden": folder / "shop.json"} | changes
    )


def test_a_golden_file_says_which_field_has_changed(tmp_path):
    experiment = days.shop(tmp_path, "sasrec")
    missing = checks.golden(experiment, plan(tmp_path))
    assert missing.passed is False
    assert "shop.json does not exist: write it" in missing.said
    checks.update(experiment, tmp_path / "shop.json")
    assert checks.golden(experiment, plan(tmp_path)).passed
    changed = dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, width=32))
    found = checks.golden(changed, plan(tmp_path))
    assert found.passed is False
    assert "experiment.model.width is 32" in found.said
    assert '-    "width": 16,' in found.output
    assert '+    "width": 32,' in found.output


def test_a_failed_check_leaves_out_what_needs_it(tmp_path, monkeypatch):
    """The commands are those that a user would type; what they print is read for the report."""
    seen = []

    def run(command, **options):
        verb = command[3]
        seen.append(command[3:])
        code, text = (
            (1, "podway: error: no column 'item'\n") if verb == "train" else (0, "FITS: x\n")
        )
        return subprocess.CompletedProcess(command, code, text)

    monkeypatch.setattr(subprocess, "run", run)
    days.write(tmp_path, 1)
    experiment = days.shop(tmp_path, "sasrec")
    checks.update(experiment, tmp_path / "shop.json")
    results = list(checks.run(experiment, experiment, plan(tmp_path, topologies=("v5e:2x2",))))
    said = [(each.check, each.passed) for each in results]
    assert said == [
        ("golden", True),
        ("data", True),
        ("preflight v5e:2x2", True),
        ("train, 20 steps", False),
        ("export", None),
        ("gate, dry run", None),
    ]
    assert results[3].said == "no column 'item'"
    stored = json.loads((tmp_path / "w" / "experiment" / "experiment.json").read_text())
    assert stored["name"] == "shop"
    assert [command[0] for command in seen] == ["data", "preflight", "train"]
    assert "--trainer.steps" in seen[-1]

    text = report.markdown("shop", results)
    assert not report.passed(results)
    assert "1 of 6 checks failed" in text
    assert "| train, 20 steps | **failed** |" in text
    assert "podway: error: no column 'item'" in text
    assert "`podway train " in text


def test_cells_of_the_report_stay_in_their_row():
    text = report.markdown("shop", [Result("a", False, "x | y\nz", output="```")])
    assert "| a | **failed** |  | x \\| y z |" in text
    assert text.count("```") == 2


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_real_commands(tmp_path):
    days.write(tmp_path, 1)
    gate = Gate(rules=(Better("ndcg@10", by=0.9), Within("ndcg@10", low=0.99)), least_users=10)
    experiment = dataclasses.replace(days.shop(tmp_path, "sasrec"), gate=gate)
    checks.update(experiment, tmp_path / "shop.json")
    results = list(checks.run(experiment, experiment, plan(tmp_path, steps=4)))
    assert [each.passed for each in results] == [True] * 5, results
    by_name = {each.check: each.said for each in results}
    said = by_name["gate, dry run"]
    assert said.startswith("against no champion, after so few steps, it would say NOT PASSED: ndcg")
    assert "skipped  ndcg@10 better" in report.markdown("shop", results)
    assert not (tmp_path / "w" / "gates").exists()
    assert "loss" in by_name["train, 4 steps"]
    assert "verified: " in by_name["export"]
    typed = dataclasses.replace(experiment, gate=Gate(rules=(NotWorse("ndgc@10"),)))
    config = tmp_path / "typed.json"
    config.write_text(json.dumps(codec.to_json(typed)))
    found = checks.gate(typed, str(config), plan(tmp_path))
    assert found.passed is False
    assert "asks for what nobody can measure: ndgc@10" in found.said


def test_workflows_are_written_once_and_name_the_config(tmp_path):
    paths = workflows.write("models/shop.py", tmp_path)
    assert {path.name for path in paths} == {"models.yml", "retrain.yml"}
    for path in paths:
        found = yaml.safe_load(path.read_text())
        steps = [step for job in found["jobs"].values() for step in job["steps"]]
        assert all(("uses" in step) != ("run" in step) for step in steps)
        assert "models/shop.py" in path.read_text()
        assert "CONFIG" not in path.read_text()
    with pytest.raises(PodwayError, match=r"models\.yml is there already"):
        workflows.write("models/shop.py", tmp_path)


def test_no_step_is_refused():
    with pytest.raises(ConfigError, match="--steps is 0; give 1 or more"):
        checks.check_steps(0)
