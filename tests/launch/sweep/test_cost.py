"""What a sweep costs: prices worked out by hand, bills, and what is told before it begins."""

import dataclasses
import math

import pytest

pytest.importorskip("optuna", reason="optuna is missing: pip install 'podway[sweep]'")

from podway.framework.config.sweep import Limit, Winner
from podway.framework.devices import topology
from podway.framework.error import ConfigError
from podway.launch.cost import bill, rate
from podway.launch.prices import book
from podway.launch.sweep import forecast, given
from podway.launch.sweep.plan import Plan, read
from podway.launch.verbs.search import sweep
from tests.launch import world
from tests.launch.sweep import examples

OWN = """
version = 1
currency = "EUR"
[sources.contract]
url = "our contract"
date = "2026-05-04"
[[prices]]
item = "vcpu-hour"
kind = "n2"
source = "contract"
regions = { us-central1 = 0.1 }
[[prices]]
item = "memory-gib-hour"
kind = "n2"
source = "contract"
regions = { us-central1 = 0.02 }
"""


def own(tmp_path, text=OWN):
    (tmp_path / "own.toml").write_text(text)
    return book.read(str(tmp_path / "own.toml"))


def test_a_million_answers(tmp_path):
    """Of 36 ms of a core each: 10 hours; a vCPU with 4 GiB costs .1 + 4 × .02 = .18; servers are
    at .6 of their load: 10 × .18 / .6 = 3."""
    core = rate.core(own(tmp_path), rate.Bought())
    assert core.amount == pytest.approx(0.18)
    assert rate.of_answers(36.0, core) == pytest.approx(3.0)
    assert core.currency == "EUR"
    assert "0.1 vcpu-hour, our contract, 2026-05-04; 4 × 0.02 memory-gib-hour" in core.told()


def test_a_price_that_there_is_not_is_named_with_the_flag(tmp_path):
    missing = rate.core(own(tmp_path), rate.Bought("mars-1", "spot"))
    assert missing.amount is None
    assert "no price of vcpu-hour, n2, mars-1, spot: give one in --prices FILE" in missing.told()
    assert math.isnan(rate.of_answers(36.0, missing))
    costly = {"objectives": ("quality", "cost"), "limits": ()}
    plan = examples.plan(**costly)
    with pytest.raises(ConfigError, match=r"needs a price: there is no price .* --prices FILE"):
        Plan(plan.experiment, "", plan.sweep, "w", core=missing)
    with pytest.raises(ConfigError, match="cost needs a price: no prices were given"):
        Plan(plan.experiment, "", plan.sweep, "w")
    cheap = examples.plan(limits=())
    assert Plan(cheap.experiment, "", cheap.sweep, "w", core=missing).currency == "EUR"


def test_another_price_is_another_sweep_only_where_cost_counts(tmp_path):
    dear = rate.core(own(tmp_path), rate.Bought())
    versions = {
        which: [
            Plan(made.experiment, "", made.sweep, str(tmp_path), core=core).version
            for core in (examples.CORE, dear)
        ]
        for which, made in {
            "front": examples.plan(objectives=("quality", "cost"), limits=()),
            "limit": examples.plan(limits=(Limit("cost", 0.5),)),
            "none": examples.plan(),
        }.items()
    }
    assert versions["front"][0] != versions["front"][1]
    assert versions["limit"][0] != versions["limit"][1]
    assert versions["none"][0] == versions["none"][1]


def test_workers_read_the_price_that_the_command_had(tmp_path):
    plan = examples.plan(tmp_path, objectives=("quality", "cost"))
    plan.write()
    assert read(plan.directory, "") == plan


def test_a_bill():
    """An hour of 2 vCPUs, and half an hour of a chip that nobody has a price of."""
    rates = {"cpu": rate.Rate("a vCPU", "USD", 0.05), "odd": rate.Rate("a chip", "USD")}
    seconds = {0: {"cpu": 7200.0}, 1: {"cpu": 3600.0}, 2: {}}
    made = bill.bill(seconds, {"cpu": 1800.0}, "USD", rates.__getitem__)
    assert made.trials == pytest.approx({0: 0.1, 1: 0.05, 2: 0.0})
    assert (made.seeds, made.total) == pytest.approx((0.025, 0.175))
    assert made.seconds == {"cpu": 12600.0}
    odd = bill.bill({**seconds, 3: {"odd": 1800.0}}, {}, "USD", rates.__getitem__)
    assert math.isnan(odd.trials[3])
    assert math.isnan(odd.total), "what nobody knows is not free"


def test_a_forecast_by_what_trials_took(tmp_path):
    """Trials of 20 and 40 s on 2 vCPUs; of 6 four are left, and 2 candidates have 2 more seeds."""
    plan = examples.plan(tmp_path, trials=6, limits=(), winner=Winner(candidates=2, seeds=3))
    one, two, three = examples.trials(3)
    done = [
        dataclasses.replace(one, seconds={"cpu": 40.0}),
        dataclasses.replace(two, seconds={"cpu": 80.0}),
        dataclasses.replace(three, state="running", seconds={"cpu": 6.0}),
    ]
    price = rate.Rate("a vCPU", "USD", 0.9)
    spent = bill.bill({each.number: each.seconds for each in done}, {}, "USD", lambda _: price)
    pod = topology.parse("cpu:1")
    found = forecast.of(plan, done, spent, ("cpu", 2.0), pod, lambda _: price)
    assert (found.trials, found.seeds, found.seconds) == (4, 4, 30.0)
    assert found.cost == pytest.approx(8 * 30 * 2 / 3600 * 0.9)
    lines = "\n".join(found.lines())
    assert "the mean of 2 trials of this sweep" in lines
    assert "has cost    0.0315 USD" in lines


@pytest.mark.parametrize("raw", [True, False])
def test_a_forecast_without_data_says_what_is_missing(raw, tmp_path):
    world.write(tmp_path)
    if not raw:
        (tmp_path / "events.csv").unlink()
    plan, price = examples.plan(tmp_path), examples.CORE
    plan = dataclasses.replace(plan, experiment=world.shop(tmp_path))
    none = bill.bill({}, {}, "USD", lambda _: price)
    pod = topology.parse("cpu:1")
    found = forecast.of(plan, [], none, ("cpu", 1.0), pod, lambda _: price)
    assert found.seconds is None
    assert "will cost   unknown" in "\n".join(found.lines())
    assert ("`podway data walks.py" if raw else "no file is there") in found.basis
    assert not (tmp_path / "datasets").exists()


def options(folder, **changes) -> sweep.Sweep:
    given_ = {"space": ("model.width=8,16",), "dry_run": True, "config": "shop.py"}
    return sweep.Sweep(experiment=world.shop(folder), workdir=str(folder / "w"), **given_ | changes)


def test_a_dry_run_writes_nothing(shop, folder, capsys, monkeypatch):
    before = set((folder / "w").rglob("*"))
    sweep.sweep(options(folder))
    said = capsys.readouterr().out
    assert "as the experiment's own run took" in said
    assert "trials      24 to train, 0 begun" in said
    assert "has cost    0 USD" in said
    assert "will cost   unknown" not in said
    monkeypatch.setattr(forecast, "_SAMPLES", 1)
    monkeypatch.setattr(forecast, "_own", lambda plan: None)
    sweep.sweep(options(folder, trials=3))
    assert "predicted, from " in capsys.readouterr().out
    assert set((folder / "w").rglob("*")) == before


def test_flags_that_say_nothing_are_told(folder):
    with pytest.raises(ConfigError, match="--topology goes with --dry-run"):
        sweep.sweep(options(folder, dry_run=False, topology="v5e:1x1"))
    with pytest.raises(ConfigError, match="--capacity is 'cheap'; give one of on-demand, spot"):
        sweep.sweep(options(folder, capacity="cheap"))
    with pytest.raises(ConfigError, match=r"--prices away.toml: there is no such file"):
        sweep.sweep(options(folder, prices="away.toml"))


def test_a_limit_of_money_in_words():
    assert given.limit("cost=0.5") == Limit("cost", 0.5)
