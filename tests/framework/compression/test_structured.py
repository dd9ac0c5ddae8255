import dataclasses

import jax
import numpy as np
import pytest

from podway.framework import config, task
from podway.framework.compression import convert, importance
from podway.framework.compression.layers import Layers, without
from podway.framework.compression.structured import Heads, Units, best, shrinkable, take
from podway.framework.error import ConfigError
from podway.framework.models.bert4rec import Bert4Rec
from podway.framework.models.decoder import Decoder
from podway.framework.models.ease import Ease
from podway.framework.models.hstu import Hstu
from podway.framework.models.parts.shrink import Group, Part
from podway.framework.models.sasrec import SasRec
from podway.framework.runs import run
from tests.framework import experiments

MODELS = {
    "pre": SasRec(width=16, blocks=2, heads=4, feed_forward=2, max_length=8),
    "ligr": SasRec(width=16, blocks=2, heads=4, feed_forward=2, max_length=8, block_kind="ligr"),
    "post": Bert4Rec(width=16, blocks=2, heads=4, feed_forward=2, max_length=8),
    "decoder": Decoder(width=16, layers=2, heads=4, kv_heads=2, head_width=4, feed_forward=12),
}


def scores(model, schema, parameters, history) -> np.ndarray:
    """Compiled as a whole, which is quicker than one operation after the other."""
    infer = jax.jit(task.inference(model, schema, model.scores))
    return np.asarray(infer(parameters, {"item": history}))


def silenced(parameters, group, members):
    """The parameters in which some members of each layer say nothing: what leads out is zero."""
    found = {path: np.array(array) for path, array in parameters.items()}
    part = group.parts[-1]
    for layer, own in enumerate(members if group.stacked else [members]):
        view = found[part.path][layer] if group.stacked else found[part.path]
        for member in own:
            view[member * part.size : (member + 1) * part.size] = 0
    return found


@pytest.mark.parametrize("what", ["units", "heads"])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_program_without_members_that_say_nothing_says_the_same(name, what, dataset):
    model, schema = MODELS[name], dataset.schema
    _, groups = shrinkable(model, what)
    _, parameters = experiments.noisy(model, schema)
    draw, smaller = np.random.default_rng(1), parameters
    for group in groups:
        count, layers = group.count // 2, 2 if group.stacked else 1
        members = np.stack([draw.permutation(group.count) for _ in range(layers)])
        members = members if group.stacked else members[0]
        stay, go = np.sort(members[..., :count]), members[..., count:]
        parameters, smaller = silenced(parameters, group, go), take(smaller, group, stay)
        found = importance.magnitude(group, parameters)
        np.testing.assert_array_equal(best(found, count), stay)
    shrunk = model.left(what, tuple(group.count // 2 for group in groups))
    expected = jax.eval_shape(lambda: task.initialize(shrunk, schema, jax.random.key(0)))
    assert {p: a.shape for p, a in smaller.items()} == {p: a.shape for p, a in expected.items()}
    history = np.array([[2, 5, 9, 0, 0], [7, 0, 0, 0, 0]], np.int32)
    np.testing.assert_allclose(
        scores(shrunk, schema, smaller, history),
        scores(model, schema, parameters, history),
        atol=2e-5,
    )


@pytest.mark.parametrize("name", ["pre", "ligr", "decoder"])
def test_a_layer_that_adds_nothing_can_go(name, dataset):
    model, schema = MODELS[name], dataset.schema
    (group,) = model.groups("layers")
    _, parameters = experiments.noisy(model, schema)
    quiet = {}
    for path, array in parameters.items():
        array = np.array(array)
        if group.stacked and path in ("layers/out/kernel", "layers/down/kernel"):
            array[0] = 0
        if path.startswith(("blocks/0/out", "blocks/0/down")):
            array[:] = 0
        quiet[path] = array
    shorter, history = model.left("layers", (1,)), np.array([[2, 5, 9, 0, 0]], np.int32)
    np.testing.assert_allclose(
        scores(shorter, schema, without(quiet, group, 0), history),
        scores(model, schema, quiet, history),
        atol=2e-5,
    )


def test_importance_by_hand():
    group = Group("a", 2, (Part("up", 1, 2), Part("bias", 0, 2), Part("down", 0, 1)))
    weights = {
        "up": np.array([[3.0, 4.0, 0, 1]]),
        "bias": np.array([9.0, 9, 9, 9]),
        "down": np.array([[2.0, 0], [6, 8]]),
    }
    np.testing.assert_allclose(importance.magnitude(group, weights), [5 * 2, 1 * 10])
    one = {"up": np.ones((1, 4)), "bias": np.zeros(4), "down": np.ones((2, 2))}
    two = {"up": -np.ones((1, 4)), "bias": np.zeros(4), "down": np.ones((2, 2))}
    # (3 + 4 + 2)² and (−7 + 2)², in the mean; (1 + 14)² and (−1 + 14)².
    found = importance.taylor(group, weights, [one, two])
    np.testing.assert_allclose(found, [(81 + 25) / 2, (225 + 169) / 2])
    assert best(np.array([1.0, 3, 3, 2]), 2).tolist() == [1, 2]
    assert best(np.array([2.0, 2, 2]), 2).tolist() == [0, 1]


def test_of_a_stack_each_layer_has_its_own(dataset):
    group = Group("layers", 3, (Part("w", 0, 1),), stacked=True)
    stack = np.arange(12.0).reshape(2, 3, 2)
    taken = take({"w": stack}, group, np.array([[0, 2], [1, 2]]))["w"]
    assert taken.tolist() == [[[0, 1], [4, 5]], [[8, 9], [10, 11]]]


def flops(model, schema, parameters) -> float:
    infer = task.inference(model, schema, model.scores)
    batch = {"item": np.ones((4, 8), np.int32)}
    return jax.jit(infer).lower(parameters, batch).compile().cost_analysis()["flops"]  # type: ignore[index]


@pytest.mark.parametrize(
    "step", [Units(keep=0.25, importance="taylor", batches=2), Heads(), Layers()]
)
def test_the_run_is_of_a_smaller_program(step, walks, trained, dataset, workdir):
    smaller = config.compressed(walks, step)
    assert config.previous(smaller) == walks
    directory = convert.convert(smaller, dataset, trained, workdir)
    experiment, manifest, parameters = run.load(directory)
    assert manifest.inputs["parent"] == trained.name
    _, _, whole = run.load(trained)
    assert flops(experiment.model, dataset.schema, parameters) < 0.95 * flops(
        walks.model, dataset.schema, whole
    )


def test_what_cannot_be_left_out_is_refused(walks):
    for model, step, text in [
        (Hstu(), Heads(), "Hstu has no heads that can be left out"),
        (Ease(), Units(), "Ease has no units that can be left out"),
        (walks.model, Layers(drop=2), "compression.drop is 2, and SasRec has 2 layers"),
    ]:
        with pytest.raises(ConfigError, match=text):
            config.compressed(dataclasses.replace(walks, model=model), step)
    with pytest.raises(ConfigError, match=r"compression.keep is 0; give a share above 0"):
        Units(keep=0)
