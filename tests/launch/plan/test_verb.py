"""`podway plan`, as it is typed."""

import json
import re

import pytest

from podway.launch.prices import book
from tests.launch.test_cli import in_process_of_its_own, podway

ASKED = (
    *("plan", "movielens_sasrec", "--users", "2e6", "--items", "5e4"),
    *("--events-per-second", "300", "--requests-per-second", "2000"),
)
POD = ("--topology", "v6e:2x2", "--step-seconds", "0.01")


def planned(*more: str) -> dict:
    done = podway(*ASKED, *more, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def figure(found: dict, name: str) -> dict:
    return next(each for each in found["figures"] if each["name"] == name)


def test_text_and_json_and_page_say_the_same(tmp_path):
    page = tmp_path / "plan.html"
    done = podway(*ASKED, *POD, "--html", str(page))
    assert done.returncode == 0, done.stderr
    found = planned(*POD)
    assert found["complete"]
    total = f"{found['total']:,.0f} USD"
    assert f"total: {total} a month" in done.stdout
    assert total in page.read_text()
    assert len(found["figures"]) > 60
    for each in found["figures"]:
        assert re.search(rf"^  {each['name']} ", done.stdout, re.MULTILINE), each
    assert found["sensitivity"][0]["figure"] in done.stdout


def test_a_step_that_is_given_is_not_compiled_and_the_chips_have_a_price():
    found = planned(*POD)
    assert figure(found, "step_seconds")["basis"] == "given"
    chip = book.chip_hour("v6e", "us-central1")
    assert chip is not None
    assert figure(found, "chip_hour")["value"] == chip.value
    assert figure(found, "chips")["value"] == 4
    # Two million users of 50,000 items: the item table and its state.
    model = figure(found, "model_bytes")["value"]
    assert 50_000 * 64 * 4 < model < 1.5 * 50_000 * 64 * 4
    assert figure(found, "state_bytes")["value"] > 2.9 * model


def test_without_a_pod_training_is_unknown_and_the_rest_is_not():
    found = planned()
    assert list(found["unknown"]) == ["training: chips' hours"]
    assert "give --topology" in found["unknown"]["training: chips' hours"]
    assert found["total"] > 0


def test_ones_own_prices_make_the_plan_ones_own(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text(
        'version = 1\ncurrency = "EUR"\n[sources.us]\nurl = "ours"\ndate = "2026-01"\n'
        '[[prices]]\nitem = "chip-hour"\nkind = "v6e"\nsource = "us"\nregions = { "*" = 2 }\n'
    )
    found = planned(*POD, "--prices", str(file))
    assert found["currency"] == "EUR"
    assert not found["complete"]
    assert found["total"] == pytest.approx(found["by_section"]["training"])


@pytest.mark.parametrize("config", ["movielens_ease", "movielens_popularity"])
def test_a_model_that_is_fitted_has_no_steps_to_plan(config):
    done = podway("plan", config, *ASKED[2:], "--json")
    assert done.returncode == 0, done.stderr
    assert "is not trained in steps" in json.loads(done.stdout)["unknown"]["training: chips' hours"]


def test_a_model_of_rows_is_planned_as_far_as_it_is_known():
    done = podway("plan", "completejourney_dlrm", *ASKED[2:], "--json")
    assert done.returncode == 0, done.stderr
    unknown = json.loads(done.stdout)["unknown"]
    assert "give --qps-per-core" in unknown["serving: replicas' vCPUs"]


@pytest.mark.parametrize(
    ("more", "said", "code"),
    [
        (("--users", "0"), "--users is 0; give more than 0", 2),
        (("--users", "many"), "--users", 2),
        (("--assume", "utilization=0.5"), "perhaps you meant utilisation", 1),
        (("--prices", "nowhere.toml"), "--prices nowhere.toml: there is no such file", 1),
        (("--topology", "v6e:3x3"), "v6e has no slice of 3x3; the nearest are", 1),
        (("--step-seconds", "-1"), "--step-seconds is -1.0; give more than 0", 2),
        (("--zone", "2"), "perhaps you meant --zones", 2),
    ],
)
def test_what_is_wrong_is_one_sentence(more, said, code, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")  # the command sets it: put back what was there
    done = podway(*ASKED, *more)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("podway: error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_missing_is_said_before_anything_is_loaded():
    done = podway("plan", "movielens_sasrec", "--items", "5")
    assert done.returncode == 1
    assert done.stderr == "podway: error: --users is missing: give the number of users\n"


@pytest.mark.slow
def test_a_step_is_compiled_for_its_pod():
    done = in_process_of_its_own(*ASKED, "--topology", "v5e:2x2", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    step = figure(found, "step_seconds")
    assert step["basis"] == "compiled"
    assert 1e-5 < step["value"] < 1
    assert "podway preflight for v5e:2x2" in step["source"]
    assert any("a device needs" in check["said"] for check in found["checks"])


@pytest.mark.slow
def test_where_nothing_compiles_for_a_pod_its_flops_are_counted():
    done = in_process_of_its_own(*ASKED, "--topology", "h100:8", "--json")
    assert done.returncode == 0, done.stderr
    step = figure(json.loads(done.stdout), "step_seconds")
    assert step["basis"] == "rule"
    assert "FLOPs at 20% of the peak, as nothing here compiles for h100:8" in step["source"]
