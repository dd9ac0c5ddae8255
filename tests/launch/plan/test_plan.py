"""What a plan says beside its amounts: what is unknown, what does not hold, what matters."""

import dataclasses
import json
import math

import pytest

from podway.launch.plan import page, plan, sensitivity, told
from podway.launch.plan.step import Step
from tests.launch.plan.figures import STEP, figures


def made(**changed) -> plan.Plan:
    return plan.make("test", "USD", figures(**changed))


def test_the_total_is_that_of_the_sections():
    whole = made()
    assert whole.total == pytest.approx(sum(whole.by_section.values()))
    assert list(whole.by_section)[:3] == ["data", "training", "export"]
    requests = 60_000 * 730 * 3600 / 1e6
    assert whole.cost_per_million == pytest.approx(whole.total / requests)
    assert not whole.unpriced


def test_what_is_unknown_is_named_with_its_remedy_and_left_out_of_the_total():
    known = made()
    without = made(step=Step(model=2e9, state=6e9, source="no pod is named"), accelerator="tpu7x")
    assert without.total == pytest.approx(known.total - known.by_section["training"])
    (line,) = without.unpriced
    assert line.name == "chips' hours"
    why = told.why_unknown(without, line)
    for part in ("step_seconds: no pod is named", "chips: no pod is named: give --topology"):
        assert part in why
    assert "chip_hour: no price of chip-hour is known for tpu7x us-central1 on-demand: give" in why
    text = told.text(without, ())
    assert "NOT in the total, as it is unknown:\n  training, chips' hours: " in text
    found = told.to_json(without, ())
    assert found["complete"] is False
    assert found["unknown"] == {"training: chips' hours": why}
    (hours,) = (line for line in found["lines"] if line["name"] == "chips' hours")
    assert (hours["amount"], hours["cost"]) == (None, None)
    json.dumps(found, allow_nan=False)


def test_no_requests_have_no_cost_a_million():
    none = made(requests_per_second=0, requests_mean=0)
    assert math.isnan(none.cost_per_million)
    assert "per million" not in told.text(none, ())


@pytest.mark.parametrize(
    ("changed", "holds", "said"),
    [
        ({"freshness": 60.0}, True, "the oldest model that answers is"),
        ({"freshness": 28.0}, False, "--retrain-every"),
        ({"freshness": 2.0}, False, "the chain alone takes"),
        ({"retrain_every": 3.0, "freshness": 99.0}, False, "they overlap; give more chips or"),
        ({"zones": 1}, False, "--zones 1: a zone that is lost"),
        ({"machine_capacity": "spot"}, False, "--machine-capacity spot: replicas and stores"),
        ({"zones": 4}, True, "a zone of 4 may be lost"),
        ({"step": dataclasses.replace(STEP, needed=17 << 30)}, False, "17.00 GiB of 16.00 GiB;"),
        ({"step": STEP}, True, "a device needs 4.00 GiB of 16.00 GiB"),
        ({"step": Step(source="x")}, None, "--freshness 48: unknown"),
    ],
)
def test_what_the_load_asks_for_is_checked(changed, holds, said):
    (found,) = (check for check in made(**changed).checks if said in check.said)
    assert found.holds is holds


def test_the_oldest_model_waits_for_the_next_one_to_be_built_trained_and_exported():
    lines = {line.name: line.value for line in made(retrain_every=10.0).lines}
    chain = 4 + lines["hours of a run"] + 0.5  # data_hours, export_hours
    assert lines["oldest model that answers"] == pytest.approx(10 + chain)


def test_the_interval_that_is_proposed_keeps_the_freshness():
    late = made(freshness=28.0)
    (found,) = (check for check in late.checks if "--retrain-every" in check.said)
    proposed = float(found.said.split("--retrain-every ")[1].split()[0])
    assert all(check.holds for check in made(freshness=28.0, retrain_every=proposed).checks)


def test_the_figure_that_matters_most_comes_first():
    whole = made()
    effects = sensitivity.effects(whole)
    swings = [effect.swing for effect in effects]
    assert swings == sorted(swings, reverse=True)
    names = [effect.figure.name for effect in effects]
    assert "utilisation" in names[:4]
    assert not {"zones", "freshness_hours", "egress_share", "egress_gib"} & set(names)
    for effect in effects:
        again = figures(assume=(f"{effect.figure.name}={effect.high}",))
        assert plan.make("again", "USD", again).total == pytest.approx(effect.total_high)
        low, high = effect.figure.low, effect.figure.high
        assert low <= effect.low <= effect.figure.value <= effect.high <= high
        rule = effect.figure.basis == "rule"
        assert effect.high <= effect.figure.value * (2 if rule else 1.25)


def test_the_page_has_it_all():
    whole = made(accelerator="tpu7x")
    html = page.render(whole, sensitivity.effects(whole))
    for text in ("Plan of test", "<svg", "utilisation", "rule of thumb", "not in the total"):
        assert text.lower() in html.lower()
    assert html.count("<svg") == 2
    for section in whole.by_section:
        assert f">{section}</text>" in html
    assert "no price of chip-hour is known for tpu7x" in html


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (388_800_000_000, "388,800,000,000"),
        (1234.567, "1,235"),
        (28.5482, "28.55"),
        (0.0316112, "0.03161"),
        (2.5e-6, "2.5e-06"),
        (1500.0, "1,500"),
        (math.nan, "unknown"),
    ],
)
def test_amounts_as_people_write_them(value, said):
    assert told.amount(value) == said
