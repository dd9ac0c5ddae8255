"""The arithmetic of a plan: against a slow recomputation, and what must hold for any load."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podway.launch.plan.figure import Values, values_of, whole
from podway.launch.plan.line import Line, total
from podway.launch.plan.plan import compute
from tests.launch.plan.figures import figures

VALUES = values_of(figures())
PRICES = [figure.name for figure in figures() if figure.unit.startswith("USD per ")]


def amounts(values: Values) -> dict[tuple[str, str], float]:
    return {(line.section, line.name): line.value for line in compute(values)}


def cost(values: Values) -> float:
    return total(compute(values), values)


def simulated(v: Values) -> float:
    """A month's cost, by counting through days, machines and requests one after the other."""
    bill = 0.0
    # Every build reads its days of events, on one core after the other.
    builds = 730 / v["retrain_every_hours"]
    seconds = 0.0
    for _ in range(int(v["training_days"])):
        events = v["events_per_second"] * 24 * 60 * 60
        seconds += events / v["rows_per_core_second"] / v["vcpu_speed"] / v["worker_scaling"]
    machine = v["worker_vcpu_hour"] + v["gib_per_vcpu"] * v["worker_gib_hour"]
    bill += builds * seconds / 3600 * machine
    # Every run makes its steps on its chips, and is exported on one worker.
    left, steps = v["users"] * v["epochs"], 0
    while left > 0:
        left -= v["batch_size"] * 1000
        steps += 1000
    while left <= -v["batch_size"]:
        left += v["batch_size"]
        steps -= 1
    busy = steps * v["step_seconds"] * v["step_slowdown"] / v["goodput"]
    bill += builds * busy / 3600 * v["chips"] * v["chip_hour"]
    bill += builds * v["export_hours"] * v["worker_vcpus"] * machine
    # Replicas are added until one zone less still answers all requests.
    milliseconds = v["request_base_ms"] + v["request_item_ns"] * v["items"] / 1_000_000
    each = v["replica_vcpus"] * v["vcpu_speed"] * v["utilisation"] * 1000 / milliseconds
    needed = 0
    while needed * each < v["requests_mean"]:
        needed += 1
    replicas = needed
    while replicas * (v["zones"] - 1) / v["zones"] < needed:
        replicas += 1
    held = (v["model_bytes"] * v["versions_in_memory"]) / 1024**3 + v["server_gib"]
    memory = max(held, v["replica_vcpus"] * v["gib_per_vcpu"])
    hour = v["replica_vcpus"] * v["vcpu_hour"] + memory * v["memory_gib_hour"]
    bill += replicas * hour * 730
    # Gateways answer one request after the other, also without a zone; consumers keep up.
    busy = v["requests_mean"] * v["gateway_request_ms"] / 1000
    busy *= v["zones"] / (v["zones"] - 1)
    for taken in (v["nearline_events"], v["lander_events"]):
        busy += v["events_per_second"] * v["event_peak"] / taken
    cores = busy / v["vcpu_speed"] / v["utilisation"]
    bill += cores * 730 * (v["vcpu_hour"] + v["gib_per_vcpu"] * v["memory_gib_hour"])
    # Nodes are added until all entries fit, and all reads and writes are done.
    entry = v["history_length"] * v["history_event_bytes"] + v["feature_bytes"] + v["key_bytes"]
    writes = v["events_per_second"] * v["event_peak"] * v["writes_per_event"] * v["store_copies"]
    reads = v["requests_per_second"] * v["reads_per_request"]
    nodes = v["store_copies"]
    while (
        nodes * v["node_gib"] * 1024**3 < v["users"] * entry * v["store_copies"]
        or nodes * v["node_operations"] * v["utilisation"] < reads + writes
    ):
        nodes += 1
    node = v["node_vcpus"] * v["vcpu_hour"] + v["node_machine_gib"] * v["memory_gib_hour"]
    bill += nodes * node * 730
    # What moves.
    month = 730 * 3600
    gib = v["events_per_second"] * month * v["message_bytes"] / 1024**3
    bill += gib * v["queue_gib"] + gib * v["subscribers"] * v["queue_gib"]
    requests = v["requests_mean"] * month
    both = requests * (v["request_bytes"] + v["response_bytes"]) / 1024**3
    bill += both * v["balancer_gib"] + 730 * v["balancer_hour"]
    bill += requests * v["response_bytes"] * v["egress_share"] / 1024**3 * v["egress_gib"]
    crossing = both + requests * v["reads_per_request"] * entry / 1024**3
    bill += crossing * (v["zones"] - 1) / v["zones"] * v["zone_gib"]
    # What lies.
    rows = v["events_per_second"] * 86400 * v["training_days"]
    lying = v["events_per_second"] * 86400 * v["log_days"] * v["stored_event_bytes"]
    lying += rows * v["dataset_event_bytes"] * v["datasets_kept"]
    lying += v["state_bytes"] * v["checkpoints_kept"] + v["model_bytes"] * v["models_kept"]
    bill += lying / 1024**3 * v["storage_gib_month"]
    size = v["object_mib"] * 1024**2
    made = v["events_per_second"] * month * v["stored_event_bytes"]
    made += rows * v["dataset_event_bytes"] * builds
    seen = rows * (v["stored_event_bytes"] + v["dataset_event_bytes"] * v["epochs"]) * builds
    bill += made / size / 1000 * v["writes_thousand"] + seen / size / 1000 * v["reads_thousand"]
    return bill


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"users": 1e6, "requests_per_second": 1e6, "requests_mean": 1e6},
        {"zones": 2.0, "egress_share": 0.3, "feature_bytes": 400.0},
        {"model_bytes": 9e10, "epochs": 3.0, "retrain_every_hours": 6.0},
        {"events_per_second": 2e6, "store_copies": 3.0, "items": 10.0},
    ],
)
def test_a_month_costs_what_counting_it_through_gives(changed):
    values = {**VALUES, **changed}
    assert cost(values) == pytest.approx(simulated(values), rel=1e-9)


LOADS = ("users", "items", "events_per_second", "requests_per_second", "requests_mean")
MORE = (*LOADS, "training_days", "log_days", "epochs", "history_length", "step_seconds")
BETTER = ("rows_per_core_second", "vcpu_speed", "goodput", "node_operations", "node_gib")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(MORE), st.floats(1e-3, 1e3), st.floats(1.0, 50.0))
def test_a_larger_load_never_takes_less(name, size, factor):
    before = {**VALUES, name: VALUES[name] * size}
    after = {**VALUES, name: before[name] * factor}
    low, high = amounts(before), amounts(after)
    for key, value in low.items():
        assert high[key] >= value - 1e-9 * abs(value), key
    assert cost(after) >= cost(before) * (1 - 1e-12)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(BETTER), st.floats(1.0, 50.0))
def test_what_is_faster_never_costs_more(name, factor):
    assert cost({**VALUES, name: VALUES[name] * factor}) <= cost(VALUES) * (1 + 1e-12)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.1, 100.0))
def test_the_cost_is_in_the_unit_of_the_prices(rate):
    dear = {**VALUES, **{name: VALUES[name] * rate for name in PRICES}}
    assert cost(dear) == pytest.approx(rate * cost(VALUES))


def test_units_of_time_and_size_do_not_matter():
    """A day of events at one a second, in a dataset of one byte an event, is 86,400 bytes."""
    values = {**VALUES, "events_per_second": 1.0, "training_days": 1.0}
    values |= {"dataset_event_bytes": 1.0, "datasets_kept": 1.0}
    assert amounts(values)["storage", "datasets"] * 2**30 == pytest.approx(86_400)
    assert amounts(values)["data", "rows of a build"] == 86_400


def test_no_load_is_what_stands_by():
    nothing = {**VALUES, **dict.fromkeys((*LOADS, "history_length"), 0.0)}
    found = amounts(nothing)
    assert found["serving", "replicas at the peak"] == VALUES["zones"]
    assert found["stores", "nodes"] == VALUES["store_copies"]
    assert found["training", "steps of a run"] == 0
    assert found["data", "workers, for data_hours"] == 0
    assert found["queue", "published and delivered"] == 0
    costs = {line.name: line.cost(nothing) for line in compute(nothing) if line.price}
    for name in ("chips' hours", "workers' vCPUs", "through the balancer", "logs of events"):
        assert costs[name] == 0


def test_reserved_chips_are_paid_for_all_month():
    at_times = {**VALUES, "chips_reserved": 0.0}
    always = {**VALUES, "chips_reserved": 1.0}
    assert amounts(always)["training", "chips' hours"] == 730 * VALUES["chips"]
    runs = amounts(at_times)["training", "hours of a run"] * 730 / VALUES["retrain_every_hours"]
    found = amounts(at_times)["training", "chips' hours"]
    assert found == pytest.approx(runs * VALUES["chips"])


def test_one_zone_has_a_replica_to_spare_and_more_zones_a_zone():
    one = {**VALUES, "zones": 1.0}
    needed = amounts(one)["serving", "replicas at the peak"] - 1
    for zones in (2.0, 3.0, 5.0):
        count = amounts({**VALUES, "zones": zones})["serving", "replicas at the peak"]
        assert count * (zones - 1) / zones >= needed
        assert (count - 1) * (zones - 1) / zones < needed


@pytest.mark.parametrize("name", ["step_seconds", "request_base_ms", "chip_hour", "model_bytes"])
def test_what_is_unknown_makes_unknown_what_follows_and_nothing_else(name):
    values = {**VALUES, name: math.nan}
    before = {(line.section, line.name): line.cost(VALUES) for line in compute(VALUES)}
    for line in compute(values):
        known = line.cost(values)
        same = before[line.section, line.name]
        assert math.isnan(known) or known == pytest.approx(same), line
    unknown = [line.name for line in compute(values) if math.isnan(line.cost(values))]
    expected = {
        "step_seconds": ["chips' hours"],
        "chip_hour": ["chips' hours"],
        "request_base_ms": ["replicas' vCPUs", "replicas' memory"],
        "model_bytes": ["replicas' memory", "models"],
    }[name]
    assert unknown == expected
    assert cost(values) < cost(VALUES)


def test_nothing_costs_nothing_whatever_its_price():
    assert Line("a", "b", 0.0, "GiB", "", "price").cost({"price": math.nan}) == 0
    assert math.isnan(Line("a", "b", 1.0, "GiB", "", "price").cost({"price": math.nan}))
    assert Line("a", "b", math.nan, "GiB", "").cost({}) == 0


def test_whole_machines():
    assert [whole(x) for x in (0.0, 0.1, 1.0, 1.1, 3 * 1.1 / 1.1)] == [0, 1, 1, 2, 3]
    assert whole(0.1 * 3 / 0.1) == 3, "rounding alone adds no machine"
    assert math.isnan(whole(math.nan))
