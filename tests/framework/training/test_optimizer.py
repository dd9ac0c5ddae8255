"""Optimizers and schedules: what they compute, and that no layout of the devices changes it."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from podway.framework import codec, config
from podway.framework.config import Optimizer
from podway.framework.devices import sharding
from podway.framework.error import ConfigError
from podway.framework.training import state
from podway.framework.training.optimizer import Adafactor, AdamW, Lion, MomentumSgd, Muon
from podway.framework.training.schedule import Scheduled
from tests.framework.experiments import changed, walks
from tests.framework.meshes import FAMILIES, on_eight_devices

ALL = {
    "Lion": {"learning_rate": 3e-3},
    "Muon": {"learning_rate": 2e-2, "weight_decay": 0.1},
    "Adafactor": {"learning_rate": 5e-2, "factored_from": 8, "weight_decay": 0.01},
    "MomentumSgd": {"learning_rate": 0.5, "nesterov": True, "schedule": "wsd"},
}
MESHES = {"one": {"data": 1}, "split": {"fsdp": 2, "tensor": 2}}
SPARSE = {
    "objective": {"type": "SampledSoftmax", "negatives": 16},
    "embedding": {"placement": "sharded"},
}
CASES = {name: {} for name in ALL} | {
    "Muon, stacked layers": {"family": "decoder"},
    "Adafactor, sparse items": {"model": SPARSE},
}


def chosen(name: str) -> dict:
    return {"optimizer": {"type": name, "warmup_steps": 5, **ALL[name]}}


@pytest.fixture(scope="module")
def losses(dataset):
    """{(case, mesh): losses of 20 steps}, on 8 forced devices."""
    wanted = {
        f"{name} {mesh}": chosen(name.partition(",")[0]) | options | {"mesh": axes}
        for name, options in CASES.items()
        for mesh, axes in MESHES.items()
    }
    return on_eight_devices(dataset, wanted)


@pytest.mark.parametrize("name", CASES)
def test_every_optimizer_learns_and_gives_the_losses_of_one_device(losses, name):
    one, split = losses[f"{name} one"], losses[f"{name} split"]
    assert one[-1] < 0.9 * one[0]
    np.testing.assert_allclose(split, one, atol=1e-5, rtol=0)


RATES = (0.1, 0.2, 0.05)


def followed(chosen: Scheduled, first: dict, gradients: list[dict]) -> dict:
    """The parameters after a step of each of RATES."""
    following = chosen.following(lambda step: np.array(RATES)[step])
    parameters: Any = dict(first)
    moments = following.init(first)
    for gradient in gradients:
        with jax.disable_jit():
            updates: Any
            updates, moments = following.update(gradient, moments, parameters)
        parameters = {path: parameters[path] + updates[path] for path in parameters}
    return {path: np.asarray(array) for path, array in parameters.items()}


def lion(p, gradients, decay):
    mean = np.zeros_like(p)
    for rate, g in zip(RATES, gradients, strict=True):
        p = p - rate * (np.sign(0.9 * mean + 0.1 * g) + decay * p)
        mean = 0.99 * mean + 0.01 * g
    return p


def sgd(p, gradients, decay):
    total = np.zeros_like(p)
    for rate, g in zip(RATES, gradients, strict=True):
        g = g + decay * p
        total = 0.9 * total + g
        p = p - rate * (g + 0.9 * total)
    return p


def adam(p, gradients, decay):
    mean, square = np.zeros_like(p), np.zeros_like(p)
    for step, (rate, g) in enumerate(zip(RATES, gradients, strict=True), 1):
        mean, square = 0.9 * mean + 0.1 * g, 0.98 * square + 0.02 * g**2
        root = np.sqrt(square / (1 - 0.98**step)) + 1e-8
        p = p - rate * (mean / (1 - 0.9**step) / root + decay * p)
    return p


def adafactor(p, gradients, decay):
    """Algorithms 4 and 5 of the paper, with β₂ of step t as 1 − t^−.8."""
    rows, columns, whole = np.zeros(p.shape[0]), np.zeros(p.shape[-1]), np.zeros(p.shape)
    for step, (rate, g) in enumerate(zip(RATES, gradients, strict=True), 1):
        kept, squares = 1 - step**-0.8, g**2 + 1e-30
        if p.ndim == 2:
            rows = kept * rows + (1 - kept) * squares.sum(1)
            columns = kept * columns + (1 - kept) * squares.sum(0)
            mean = np.outer(rows, columns) / rows.sum()
        else:
            whole = kept * whole + (1 - kept) * squares
            mean = whole
        u = g / np.sqrt(mean)
        u = u / max(1, math.sqrt((u**2).mean()))
        p = p - rate * (max(1e-3, math.sqrt((p**2).mean())) * u + decay * p)
    return p


@pytest.mark.parametrize(
    ("built", "plain"),
    [
        (AdamW(weight_decay=0.1), adam),
        (Lion(weight_decay=0.1), lion),
        (MomentumSgd(weight_decay=0.1, nesterov=True), sgd),
        (Adafactor(weight_decay=0.1, factored_from=4), adafactor),
    ],
)
def test_an_optimizer_computes_what_its_paper_says(built, plain):
    draw = np.random.default_rng(5)
    shapes = {"a/kernel": (6, 4), "a/bias": (4,)}
    first = {path: draw.normal(size=shape).astype(np.float32) for path, shape in shapes.items()}
    gradients = [
        {path: draw.normal(size=shape).astype(np.float32) for path, shape in shapes.items()}
        for _ in RATES
    ]
    found = followed(built, first, gradients)
    for path, decay in (("a/kernel", 0.1), ("a/bias", 0.0)):
        wanted = plain(first[path], [each[path] for each in gradients], decay)
        np.testing.assert_allclose(found[path], wanted, rtol=2e-4, atol=1e-6)


def test_muon_makes_all_singular_values_of_a_step_alike():
    """To the root mean square of AdamW's steps; stacks and heads as the matrices that they are."""
    draw = np.random.default_rng(6)
    shapes = {
        "blocks/0/up/kernel": (8, 24),
        "layers/up/kernel": (2, 8, 24),
        "layers/query/kernel": (2, 2, 4, 24),
        "convolutions/0/kernel": (1, 2, 4, 24),
        "head/kernel": (8, 24),
        "item/embedding": (8, 24),
    }
    first = {path: np.zeros(shape, np.float32) for path, shape in shapes.items()}
    # Of very different singular values, which a step without Muon would show.
    gradients = {
        path: (draw.normal(size=shape) * 10.0 ** np.arange(0, -4, -4 / 24)).astype(np.float32)
        for path, shape in shapes.items()
    }
    steps = followed(Muon(), first, [gradients] + [jax.tree.map(np.zeros_like, gradients)] * 2)
    for path in shapes:
        matrices = steps[path].reshape(-1, 8, 24)
        values = np.linalg.svd(matrices, compute_uv=False) / np.sqrt(24)
        alike = values.min(1) > 0.4 * values.max(1)
        assert alike.all() == (path not in ("head/kernel", "item/embedding")), (path, values)
    one = followed(Muon(), first, [gradients] * 3)["blocks/0/up/kernel"] / sum(RATES)
    assert 0.1 < np.sqrt((one**2).mean()) < 0.3


def layout(dataset, name: str, **model) -> dict[str, sharding.Placed]:
    experiment = changed(chosen(name) | {"model": model})
    sizes = {"slice": 1, "data": 1, "fsdp": 4, "tensor": 2}
    rows = state.describe_state(experiment, dataset.schema, sizes)
    return {row.path: row for row in rows}


def test_every_moment_lies_as_its_parameter(dataset):
    for name in ALL:
        rows = layout(dataset, name)
        for path, row in rows.items():
            parameter = rows.get(f"parameters.{path.rpartition('.')[2]}")
            if path.startswith("optimizer.") and parameter and row.kind == parameter.kind:
                assert row.split == parameter.split, (name, path)
            elif path.startswith("optimizer.") and not parameter:
                assert row.split == "replicated", (name, path)
    lion = [row for path, row in layout(dataset, "Lion").items() if path.startswith("optimizer.")]
    kept = sum(row.kind != "int32[]" for row in lion)
    assert kept == sum(path.startswith("parameters.") for path in layout(dataset, "Lion"))


def test_sums_along_a_dimension_lie_as_the_others(dataset):
    rows = layout(dataset, "Adafactor")
    assert rows["parameters.blocks/0/up/kernel"].split == "fsdp, tensor"
    assert rows["parameters.blocks/0/up/kernel"].kind == "float32[16, 32]"
    by_row, by_column = (
        rows[f"optimizer.0.{part}.blocks/0/up/kernel"] for part in ("v_row", "v_col")
    )
    assert (by_row.kind, by_row.split) == ("float32[16]", "fsdp")
    assert (by_column.kind, by_column.split) == ("float32[32]", "tensor")
    square = rows["optimizer.0.v_row.blocks/0/out/kernel"]
    assert (square.kind, square.split) == ("float32[16]", "replicated")
    assert rows["optimizer.0.v.blocks/0/up/kernel"].kind == "float32[1]"
    assert not any(row.remark for row in rows.values())


def test_rows_of_sparse_tables_keep_their_own_optimizer(dataset):
    for name in ALL:
        rows = layout(dataset, name, **SPARSE)
        assert rows["slots.item/embedding.accumulator"].split == "slice·data·fsdp·tensor"
        assert not any("item/embedding" in path for path in rows if path.startswith("optimizer."))


def test_muon_follows_adam_where_there_is_no_matrix(dataset):
    experiment = dataclasses.replace(walks(), optimizer=Muon(), model=FAMILIES["decoder"])
    mesh = jax.sharding.AbstractMesh((1, 1, 4, 2), ("slice", "data", "fsdp", "tensor"))
    moments = state.placed(experiment, dataset.schema, mesh)["optimizer"]
    by_group = {
        group: {
            str(path[-1].key)
            for path, leaf in jax.tree_util.tree_leaves_with_path(moments.inner_states[group])
            if leaf.ndim and hasattr(path[-1], "key")
        }
        for group in ("muon", "adam")
    }
    assert "layers/query/kernel" in by_group["muon"]
    assert "item/embedding" in by_group["adam"]
    assert not by_group["muon"] & by_group["adam"]
    mu = moments.inner_states["muon"].inner_state[0].mu["layers/up/kernel"]
    own = state.placed(experiment, dataset.schema, mesh)["parameters"]["layers/up/kernel"]
    assert mu.sharding == own.sharding != PartitionSpec()


def rates(schedule: str, steps: int = 100, **options) -> list[float]:
    chosen = AdamW(schedule=schedule, **({"warmup_steps": 10} | options))
    return [float(chosen.decay(step, steps)) for step in range(steps + 1)]


def test_schedules_follow_their_formulas():
    rise = [(1 + 9 * step / 10) / 10 for step in range(10)]
    expected = {
        "cosine": lambda s: 0.1 + 0.9 * (1 + math.cos(math.pi * (s - 10) / 90)) / 2,
        "linear": lambda s: 1 - 0.9 * (s - 10) / 90,
        "wsd": lambda s: min(1, 1 - 0.9 * (s - 80) / 20),
        "constant": lambda s: 1,
        "inverse_square_root": lambda s: math.sqrt(10 / s),
    }
    for schedule, after in expected.items():
        wanted = [*rise, *(after(step) for step in range(10, 101))]
        np.testing.assert_allclose(rates(schedule), wanted, rtol=1e-5, err_msg=schedule)
    for schedule in expected:
        without = rates(schedule, warmup_steps=0)
        assert without[0] == 1
        assert np.isfinite(without).all()
        # Of schedules that end, the warm-up is at most half of it.
        short = rates(schedule, 8)
        assert (max(short) == 1) == (schedule not in ("constant", "inverse_square_root"))
    for schedule in ("constant", "inverse_square_root"):
        assert rates(schedule, 30) == rates(schedule, 60)[:31], "as if it had not ended"


def test_what_an_optimizer_refuses():
    for message, wrong in {
        "optimizer.learning_rate is 0": lambda: Lion(learning_rate=0),
        "optimizer.warmup_steps is -1": lambda: MomentumSgd(warmup_steps=-1),
        "optimizer.decay_fraction is 2": lambda: AdamW(decay_fraction=2),
        "optimizer.beta2 is 1": lambda: AdamW(beta2=1),
        "optimizer.weight_decay is -1": lambda: Muon(weight_decay=-1),
        r"optimizer.adam: '\(' is no pattern": lambda: Muon(adam=("(",)),
        "optimizer.nesterov looks along the momentum": lambda: MomentumSgd(
            momentum=0, nesterov=True
        ),
        "optimizer.clip is 0": lambda: Adafactor(clip=0),
    }.items():
        with pytest.raises(ConfigError, match=message):
            wrong()


def test_optimizers_are_stored_by_name_and_their_defaults_are_not_versioned():
    for cls in (AdamW, Lion, Muon, Adafactor, MomentumSgd):
        experiment = dataclasses.replace(walks(), optimizer=cls(schedule="wsd"))
        stored = codec.to_json(experiment)
        assert stored["optimizer"]["type"] == cls.__name__
        assert codec.from_json(config.Experiment, stored) == experiment
    assert isinstance(experiment.optimizer, Optimizer)
    # Runs of before there were schedules stay up to date.
    assert codec.to_json(walks(), versioned=True)["optimizer"] == {
        "type": "AdamW",
        "learning_rate": 0.01,
        "warmup_steps": 5,
        "final_fraction": 0.1,
        "weight_decay": 0.0,
        "beta1": 0.9,
        "beta2": 0.98,
    }
