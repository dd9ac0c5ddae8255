"""The load's options, and what is wrong with them."""

import re

import pytest

from podway.framework.error import ConfigError
from podway.launch import experiments
from podway.launch.plan import gather
from podway.launch.plan.figure import Figure
from podway.launch.plan.load import Load, stated
from podway.launch.prices import book
from tests.launch.plan.figures import LOAD, STEP, figures


def named(found: tuple[Figure, ...], name: str) -> Figure:
    return next(figure for figure in found if figure.name == name)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"users": None}, "--users is missing: give the number of users"),
        ({"items": None}, "--items is missing: give the number of items"),
        ({"requests_per_second": None, "requests_mean": None}, "--requests-per-second is missing"),
        ({"events_per_second": None}, "--events-per-second is missing: give it, or --events-per-"),
        ({"events_per_day": 5.0}, "--events-per-second and --events-per-day exclude each other"),
        ({"users": 0.0}, "--users is 0; give more than 0"),
        ({"items": -4.0}, "--items is -4; give more than 0"),
        ({"users": float("inf")}, "--users is inf; give more than 0"),
        ({"requests_mean": -1.0}, "--requests-mean is -1; give 0 or more"),
        ({"requests_mean": 2e5}, "--requests-mean 200000.0 is above --requests-per-second"),
        ({"retrain_every": 0.0}, "--retrain-every is 0; give more than 0"),
        ({"history_length": float("nan")}, "--history-length is nan; give 0 or more"),
        ({"zones": 0}, "--zones is 0; give 1 or more"),
        ({"capacity": "rented"}, "--capacity is 'rented'; give one of on-demand, spot"),
        ({"machine_capacity": "x"}, "--machine-capacity is 'x'; give one of on-demand, spot"),
    ],
)
def test_what_is_wrong_is_said_by_its_flag(changed, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        stated(Load(**{**LOAD, **changed}), experiments.load("movielens_sasrec"))


@pytest.mark.parametrize(
    ("assume", "message"),
    [
        ("utilisation", "--assume utilisation: give NAME=VALUE, as in utilisation=0.5"),
        ("utilization=0.5", "there is no figure 'utilization'; perhaps you meant utilisation"),
        ("qqqq=1", "there is no figure 'qqqq'; --json lists them all"),
        ("utilisation=high", "'high' is no number; give utilisation=1.5, say"),
        ("utilisation=nan", "'nan' is no number"),
        ("utilisation=1.5", "--assume utilisation=1.5: utilisation is 1e-09 to 1"),
        ("store_copies=0", "store_copies is 1 to inf"),
    ],
)
def test_what_is_wrong_with_an_assumption_is_said(assume, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        figures(assume=(assume,))


def test_an_assumption_is_taken_and_says_that_it_was_given():
    found = named(figures(assume=("utilisation=0.5", "chip_hour=0.4")), "utilisation")
    assert (found.value, found.basis, found.source) == (0.5, "given", "--assume")
    assert named(figures(assume=("chip_hour=0.4",)), "chip_hour").value == 0.4


def test_events_of_a_day_are_those_of_its_seconds():
    found = figures(events_per_second=None, events_per_day=86_400.0)
    assert named(found, "events_per_second").value == 1


def test_where_nothing_is_said_the_model_and_rules_speak():
    found = figures(requests_mean=None)
    mean, history = named(found, "requests_mean"), named(found, "history_length")
    assert (mean.value, mean.basis) == (5e4, "rule")
    assert (history.value, history.basis, history.source) == (100, "config", "model.max_length")
    given = named(figures(history_length=7.0), "history_length")
    assert (given.value, given.basis) == (7, "given")


def test_every_figure_says_where_it_comes_from():
    found = figures()
    assert len({figure.name for figure in found}) == len(found)
    for figure in found:
        assert figure.meaning
        assert figure.source or figure.basis == "rule", figure
        assert figure.low <= figure.value <= figure.high or not figure.known, figure


def of(name: str, qps: float | None = None) -> tuple[Figure, ...]:
    experiment = experiments.load(name)
    return gather.gather(
        Load(**LOAD), experiment, STEP.figures, "v5e", book.shipped(), qps_per_core=qps
    )


def test_scores_cost_more_in_a_wider_model():
    narrow, wide = of("movielens_sasrec"), of("billion_items")
    assert named(wide, "request_item_ns").value == 2 * named(narrow, "request_item_ns").value


def test_a_model_of_rows_was_not_measured_and_says_so_until_it_is():
    base = named(of("completejourney_dlrm"), "request_base_ms")
    assert not base.known
    assert "give --qps-per-core" in base.source
    assert named(of("completejourney_dlrm"), "sequences").value == 0
    given = of("completejourney_dlrm", 250.0)
    assert named(given, "request_base_ms").value == 4
    assert named(given, "request_item_ns").value == 0


def test_prices_are_those_of_the_region_and_the_capacity():
    spot = figures(capacity="spot", machine_capacity="reserved-3y", region="europe-west4")
    shipped = book.shipped()
    chip = shipped.chip_hour("v5e", "europe-west4", "spot")
    core = shipped.find("vcpu-hour", "n2", "europe-west4", "reserved-3y")
    assert chip is not None
    assert core is not None
    assert named(spot, "chip_hour").value == chip.value
    assert named(spot, "vcpu_hour").value == core.value
    assert chip.date in named(spot, "chip_hour").source
    worker = shipped.find("vcpu-hour", "n2", "europe-west4")
    assert worker is not None
    assert named(spot, "worker_vcpu_hour").value == worker.value, "it runs at times"
    assert named(spot, "chips_reserved").value == 0
    assert named(figures(capacity="reserved-1y"), "chips_reserved").value == 1
    nowhere = figures(region="mars-north1")
    assert not named(nowhere, "vcpu_hour").known
    assert named(nowhere, "queue_gib").known, "it is the same in all regions"
