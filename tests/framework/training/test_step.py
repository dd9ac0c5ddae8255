"""The step's switches, and that no layout of the devices changes what it computes."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework import config
from podway.framework.devices import mesh
from podway.framework.error import ConfigError
from podway.framework.input.batches import TrainBatches, read_ahead
from podway.framework.training import loop
from podway.framework.training.program import build_program
from tests.framework.experiments import walks
from tests.framework.meshes import on_eight_devices

CASES = {
    "one": {"mesh": {"data": 1}},
    "data": {"mesh": {"data": 8}},
    "fsdp": {"mesh": {"fsdp": 8}},
    "tensor": {"mesh": {"data": 4, "tensor": 2}},
    "data, fsdp, tensor": {"mesh": {"fsdp": 2, "tensor": 2}},
    "slice, fsdp, tensor": {"mesh": {"slice": 2, "fsdp": 2, "tensor": 2}},
    "in parts": {"mesh": {"fsdp": 2, "tensor": 2}, "trainer": {"accumulate": 2}},
    "blocks": {"mesh": {"fsdp": 4}, "trainer": {"remat": "blocks"}},
    "products": {"mesh": {"fsdp": 4}, "trainer": {"remat": "products"}},
}


OBJECTIVES = {
    "SampledSoftmax": {"negatives": 16},
    "Bce": {"negatives": 2, "drawn_for": "position"},
    "GBce": {"negatives": 16, "drawn_for": "sequence"},
}
FAMILIES = {
    "LiGR": {"model": {"block_kind": "ligr"}},
    "HSTU": {"family": "hstu"},
    "HSTU by time": {"family": "hstu by time"},
    "HSTU by time, packed": {"family": "hstu by time", "trainer": {"pack": True}},
    "BERT4Rec": {"family": "bert4rec"},
    "packed": {"trainer": {"pack": True}},
}
SAMPLED = {"type": "SampledSoftmax", **OBJECTIVES["SampledSoftmax"]}
SPARSE = {
    "replicated": ("one", "data, fsdp, tensor"),
    "sharded": ("data", "data, fsdp, tensor", "in parts"),
}
"""Cases in which the item table is sparse, by its placement."""


@pytest.fixture(scope="module")
def losses(dataset):
    """{case: losses of 20 steps}, f32, on 8 forced devices."""
    sampled = {
        f"{kind} {name}": CASES[name] | {"model": {"objective": {"type": kind, **options}}}
        for kind, options in OBJECTIVES.items()
        for name in ("one", "in parts")
    }
    families = {
        f"{family} {name}": CASES[name] | options
        for family, options in FAMILIES.items()
        for name in ("one", "data, fsdp, tensor")
    }
    sampled |= {
        f"{placement} {name}": CASES[name]
        | {"model": {"objective": SAMPLED, "embedding": {"placement": placement}}}
        for placement, names in SPARSE.items()
        for name in names
    }
    return on_eight_devices(dataset, CASES | sampled | families)


@pytest.mark.parametrize("case", [case for case in CASES if case != "one"])
def test_every_mixture_of_axes_gives_the_losses_of_one_device(losses, case):
    assert len(losses["one"]) == 20
    assert losses["one"][-1] < 0.85 * losses["one"][0]
    np.testing.assert_allclose(losses[case], losses["one"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_the_losses_of_one_device(losses, family):
    one, split = losses[f"{family} one"], losses[f"{family} data, fsdp, tensor"]
    assert one[-1] < 0.95 * one[0]
    np.testing.assert_allclose(split, one, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_negatives_are_those_of_one_device_however_the_batch_is_split(losses, kind):
    one = losses[f"{kind} one"]
    assert one[-1] < 0.9 * one[0]
    np.testing.assert_allclose(losses[f"{kind} in parts"], one, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "case", [f"{placement} {name}" for placement, names in SPARSE.items() for name in names]
)
def test_a_sparse_table_gives_the_same_losses_however_it_lies(losses, case):
    assert losses["replicated one"][-1] < 0.9 * losses["replicated one"][0]
    np.testing.assert_allclose(losses[case], losses["replicated one"], atol=1e-5, rtol=0)


def built(dataset, **trainer):
    one = mesh.build(config.Mesh(data=1), jax.devices()[:1])
    experiment = walks(**trainer)
    experiment = dataclasses.replace(
        experiment, model=dataclasses.replace(experiment.model, dropout=0.0)
    )
    return build_program(experiment, dataset.schema, one)


def stepped(dataset, program, steps=3):
    """The states before, and after each step, on the host; and the last step's metrics."""
    batches = TrainBatches(dataset, program.lengths, batch_size=16, steps=steps, seed=0, window=2)
    state, states, metrics = program.initialize(), [], {}
    states.append(jax.device_get(state))
    for batch in read_ahead(batches, 0, place=program.place):
        state, metrics = program.step(state, batch)
        states.append(jax.device_get(state))
    return states, metrics


def test_what_is_frozen_stays_and_has_no_moments(dataset):
    program = built(dataset, freeze=("item/embedding", "blocks/.*"))
    states, _ = stepped(dataset, program)
    first, last = states[0]["parameters"], states[-1]["parameters"]
    for path in first:
        frozen = path == "item/embedding" or path.startswith("blocks/")
        assert np.array_equal(first[path], last[path]) == frozen, path
    moments = [
        path[-1].key
        for path, leaf in jax.tree_util.tree_leaves_with_path(states[0]["optimizer"])
        if leaf.ndim
    ]
    assert set(moments) == {"position/embedding", "norm/bias", "norm/scale"}
    with pytest.raises(ConfigError, match=r"no parameter's path matches 'item'; there are blocks"):
        built(dataset, freeze=("item",))
    with pytest.raises(ConfigError, match="leaves no parameter to train"):
        built(dataset, freeze=(".*",))


def test_the_moving_average_follows_its_formula_and_is_what_is_evaluated(dataset):
    states, _ = stepped(dataset, built(dataset, ema=0.5), steps=4)
    average = states[0]["parameters"]["norm/scale"]
    for at, state in enumerate(states[1:]):
        d = min(0.5, (1 + at) / (10 + at))
        average = average * d + state["parameters"]["norm/scale"] * (1 - d)
    np.testing.assert_allclose(states[-1]["ema"]["norm/scale"], average, rtol=1e-6)
    program = built(dataset, ema=0.5)
    evaluated = program.inference_parameters(states[-1])
    np.testing.assert_array_equal(evaluated["norm/scale"], states[-1]["ema"]["norm/scale"])
    plain, _ = stepped(dataset, built(dataset), steps=4)
    np.testing.assert_allclose(
        plain[-1]["parameters"]["norm/scale"], states[-1]["parameters"]["norm/scale"], rtol=1e-6
    )
    assert built(dataset).inference_parameters(plain[-1]) == plain[-1]["parameters"]


def test_what_is_computed_anew_is_no_work_of_the_model(dataset):
    assert built(dataset, remat="blocks").flops == built(dataset).flops


def test_a_gradient_is_clipped_to_its_norm(dataset):
    from podway.framework.training import optimizer

    def moved(clip_norm):
        experiment = walks(clip_norm=clip_norm)
        # With one step of plain momentum-free Adam the size would not show: look at the moments.
        one = mesh.build(config.Mesh(data=1), jax.devices()[:1])
        assert isinstance(experiment.optimizer, optimizer.AdamW)
        states, metrics = stepped(dataset, build_program(experiment, dataset.schema, one), steps=1)
        mean = states[-1]["optimizer"][0].mu
        norm = np.sqrt(sum(float(jnp.sum(each**2)) for each in mean.values()))
        return norm / 0.1, float(metrics["gradient_norm"])

    free, norm = moved(None)
    np.testing.assert_allclose(free, norm, rtol=1e-5)
    clipped, same = moved(norm / 7)
    np.testing.assert_allclose((clipped, same), (norm / 7, norm), rtol=1e-5)


def test_gradient_statistics_are_those_of_the_arrays_and_change_nothing(dataset):
    """Against the moments of a first step of Adam, which are the gradients, and the parameters."""
    plain, _ = stepped(dataset, built(dataset, clip_norm=None), steps=1)
    states, metrics = stepped(
        dataset, built(dataset, clip_norm=None, gradient_statistics=True), steps=1
    )
    for path, array in plain[-1]["parameters"].items():
        np.testing.assert_allclose(states[-1]["parameters"][path], array, rtol=1e-6, atol=1e-8)
    before, after = (state["parameters"] for state in states)
    mean = states[-1]["optimizer"][0].mu
    groups = {
        "blocks/0": [path for path in before if path.startswith("blocks/0/")],
        "item": ["item/embedding"],
        "position": ["position/embedding"],
        "norm": ["norm/bias", "norm/scale"],
    }
    assert sum(map(len, groups.values())) == len(before)

    def norm(arrays) -> float:
        return float(np.sqrt(sum(np.sum(np.square(each, dtype=np.float64)) for each in arrays)))

    for name, paths in groups.items():
        gradient = norm([mean[path] / 0.1 for path in paths])
        np.testing.assert_allclose(float(metrics[f"gradient_norm/{name}"]), gradient, rtol=1e-5)
        ratio = norm([after[path] - before[path] for path in paths]) / norm(
            [before[path] for path in paths]
        )
        np.testing.assert_allclose(float(metrics[f"update_ratio/{name}"]), ratio, rtol=1e-4)
    assert float(metrics["gradient_clipped_percent"]) == 0
    squares = sum(float(metrics[f"gradient_norm/{name}"]) ** 2 for name in groups)
    np.testing.assert_allclose(squares, float(metrics["gradient_norm"]) ** 2, rtol=1e-5)


def test_the_share_of_clipped_steps_is_recorded(dataset, tmp_path):
    free = loop.train(walks(steps=4, gradient_statistics=True, clip_norm=None), dataset, tmp_path)
    lines = (free.directory / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    sizes = [each["gradient_norm"] for each in found if "loss" in each]
    middle = float(np.sort(sizes)[2] - 1e-4)
    options = {"steps": 4, "gradient_statistics": True, "log_every": 4, "clip_norm": middle}
    limited = loop.train(walks(**options), dataset, tmp_path)
    lines = (limited.directory / "metrics.jsonl").read_text().splitlines()
    (share,) = (
        each["gradient_clipped_percent"] for each in map(json.loads, lines) if "loss" in each
    )
    assert share in (25.0, 50.0, 75.0)
