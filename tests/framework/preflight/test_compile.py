import dataclasses

import jax
import pytest

from podway.framework import config
from podway.framework.config import SideTable
from podway.framework.config.features import Categorical, Hashed, Numeric, Quantiles, Text
from podway.framework.devices import topology
from podway.framework.error import ConfigError
from podway.framework.models.sasrec import SasRec
from podway.framework.models.two_tower import TwoTower
from podway.framework.preflight import compile as preflight
from podway.framework.training.optimizer import AdamW
from podway.framework.training.state import describe_state

SCHEMA = preflight.declared(items=1000, users=100, history=20)


def experiment(**trainer) -> config.Experiment:
    return config.Experiment(
        name="small",
        data=config.Data(name="none", path="none"),
        model=SasRec(width=128, blocks=1, max_length=16),
        optimizer=AdamW(),
        trainer=config.Trainer(batch_size=32, **trainer),
    )


@pytest.fixture(scope="module")
def report():
    return preflight.examine(experiment(), SCHEMA, topology.parse("v5e:2x2"))


def test_the_parts_are_the_whole_and_the_state_is_what_it_is(report):
    usage = report.train.usage
    assert report.fits
    assert usage.needed == sum(usage.parts.values())
    assert usage.limit == int(15.75 * 2**30)
    parameters = 1024 * 128 + 16 * 128 + 12 * 128 * 128 + 13 * 128 + 2 * 128
    assert usage.parts["parameters"] == 4 * parameters
    assert usage.parts["optimizer"] == 2 * 4 * parameters + 2 * 4  # Two moments, two counters.
    assert report.mesh == {"slice": 1, "data": 4, "fsdp": 1, "tensor": 1}
    assert report.sizes["item"] == 1000


def test_data_parallelism_sends_the_gradient_and_little_else(report):
    sent = sum(each.wire_bytes for each in report.train.collectives)
    gradient = report.train.usage.parts["parameters"]
    assert {each.kind for each in report.train.collectives} <= {"all-reduce", "reduce-scatter"}
    assert sent == pytest.approx(2 * gradient * 3 / 4, rel=0.02)
    assert {each.axes for each in report.train.collectives} == {("data",)}


def test_the_predictions_belong_together(report):
    seconds = report.step_seconds
    assert report.examples_per_second == pytest.approx(32 / seconds)
    assert report.mfu == pytest.approx(report.model_flops / (seconds * 4 * 197e12))
    assert report.cost_per_million(2.0) == pytest.approx(1e6 / 32 * seconds * 4 * 2.0 / 3600)
    assert report.train.times.overlapped <= seconds


def test_this_machine_counts_as_a_pod_too():
    report = preflight.examine(
        experiment(), SCHEMA, topology.Topology(topology.hardware.named("cpu"), (1,))
    )
    assert report.fits
    assert report.train.usage.limit > 2**28
    assert report.train.collectives == ()


def test_what_is_too_large_is_reported_not_raised():
    schema = preflight.declared(items=40_000_000, users=100, history=20)
    report = preflight.examine(experiment(), schema, topology.parse("v5e:1x1"), evaluation=False)
    assert not report.fits
    # 40 M × 128 in f32, its gradient and two moments.
    assert report.train.usage.needed > 4 * 40_000_000 * 128 * 4
    assert report.train.usage.missing > 2**30
    assert report.step_seconds is None
    assert preflight.state_bytes(experiment(), schema, report.topology) > report.train.usage.limit
    # No option helps, and this is plain without compiling.
    assert preflight.attempts(report, schema) == []


def test_alternatives_keep_the_result_and_take_less_memory(report):
    layouts = list(preflight.alternatives(report))
    neutral = {"mesh": config.Mesh(), "trainer": config.Trainer(batch_size=32)}
    assert all(dataclasses.replace(each, **neutral) == experiment() for each in layouts)
    treatments = [(each.trainer.remat, each.trainer.accumulate, each.mesh.fsdp) for each in layouts]
    assert treatments[:4] == [
        ("none", 1, 4),
        ("products", 1, 1),
        ("products", 1, 4),
        ("blocks", 1, 1),
    ]
    assert ("blocks", 16, 4) in treatments
    assert len(set(treatments)) == len(treatments)


def test_attempts_stop_when_enough_fit_and_put_the_fastest_first(report, monkeypatch):
    """With a stand-in for the compiler, in which parts of the batch are what helps, slowly."""
    compiled = []

    def examine(changed, schema, pod, *, evaluation):
        options = changed.trainer
        compiled.append((options.remat, options.accumulate, changed.mesh.fsdp))
        needed = report.train.usage.limit * 3 // options.accumulate
        usage = dataclasses.replace(report.train.usage, needed=needed)
        times = dataclasses.replace(report.train.times, chip=1.0 / changed.mesh.fsdp)
        train = dataclasses.replace(report.train, usage=usage, times=times)
        return dataclasses.replace(report, experiment=changed, train=train)

    monkeypatch.setattr(preflight, "examine", examine)
    tried = preflight.attempts(report, SCHEMA, wanted=2)
    assert compiled[-2:] == [("none", 4, 1), ("none", 4, 4)]
    assert [each.fits for each in tried] == [True, True] + [False] * (len(compiled) - 2)
    assert [each.experiment.mesh.fsdp for each in tried[:2]] == [4, 1]


def test_a_batch_that_does_not_divide_is_an_error():
    with pytest.raises(ConfigError, match=r"trainer\.batch_size = 32 does not divide"):
        preflight.examine(experiment(), SCHEMA, topology.parse("v5e:8x8"))


def test_another_error_of_the_compiler_is_not_taken_for_too_little_memory(monkeypatch):
    def fail(*_):
        raise jax.errors.JaxRuntimeError("INTERNAL: a bug")

    monkeypatch.setattr(preflight, "build_program", fail)
    with pytest.raises(jax.errors.JaxRuntimeError, match="a bug"):
        preflight.examine(experiment(), SCHEMA, topology.parse("v5e:2x2"), evaluation=False)


@pytest.mark.slow
def test_weak_scaling_keeps_the_batch_of_each_device_and_the_bytes_it_sends():
    pods = [topology.parse(f"v5e:{shape}") for shape in ("2x2", "4x4", "8x8")]
    reports = preflight.scan(experiment(), SCHEMA, pods)
    assert [each.experiment.trainer.batch_size for each in reports] == [32, 128, 512]
    sent = [sum(each.wire_bytes for each in report.train.collectives) for report in reports]
    gradient = reports[0].train.usage.parts["parameters"]
    for each, devices in zip(sent, (4, 16, 64), strict=True):
        assert each == pytest.approx(2 * gradient * (devices - 1) / devices, rel=0.02)


def test_attributes_of_a_dataset_that_does_not_exist_have_the_sizes_of_their_transforms():
    attributes = (
        Categorical("genres", many=True),
        Categorical("maker", max_values=50, oov_buckets=3),
        Text("title", max_tokens=8),
        Hashed("shop", buckets=100),
        Quantiles("year", buckets=4),
        Numeric("price"),
    )
    tables = (SideTable("item", "by hand", "id", attributes),)
    schema = preflight.declared(items=1000, users=100, history=20, tables=tables)
    found = {each.name: (each.size, each.max_length) for each in schema.features[5:]}
    assert found == {
        "genres": (10_002, 10),
        "maker": (54, 1),
        "title": (10_002, 8),
        "shop": (102, 1),
        "year": (5, 1),
    }
    towers = dataclasses.replace(experiment(), model=TwoTower(attributes=tuple(found)))
    sizes = {"slice": 1, "data": 1, "fsdp": 2, "tensor": 4}
    state = {each.path: each.kind for each in describe_state(towers, schema, sizes)}
    assert state["parameters.constants/title"] == "int32[1024, 8]"
    assert state["parameters.content/maker/embedding"] == "float32[54, 64]"
