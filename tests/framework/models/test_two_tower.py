"""Two towers: the formulas by NumPy, constants, items without events, and any mesh's losses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework import task
from podway.framework.config import Mesh, WarmStart
from podway.framework.devices import mesh
from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.error import ConfigError
from podway.framework.models.two_tower import TwoTower, targets_of
from podway.framework.runs import run
from podway.framework.training import loop, warm_start
from podway.framework.training.program import build_program
from tests.framework import experiments
from tests.framework.conftest import COLD
from tests.framework.experiments import walks
from tests.framework.meshes import on_eight_devices

MODEL = TwoTower(
    width=8,
    hidden=12,
    attributes=("genres", "year"),
    max_length=6,
    targets=3,
    negatives=5,
    dropout=0.0,
    temperature=0.2,
)


@pytest.fixture(scope="module")
def built(described):
    """Parameters away from their initial zeros, so that a forgotten bias shows; and constants."""
    fresh = task.initialize(MODEL, described.schema, jax.random.key(3))
    noise = np.random.default_rng(0)
    learnt = {
        path: array + 0.1 * noise.normal(size=array.shape).astype(np.float32)
        for path, array in sorted(fresh.items())
        if not task.is_constant(path)
    }
    return learnt | MODEL.constants(described)


class ByHand:
    """The two towers in NumPy, one item or history at a time."""

    def __init__(self, parameters, dataset):
        self.p = {path: np.asarray(each, np.float64) for path, each in parameters.items()}
        self.table = dataset.table("item")
        self.events = np.bincount(
            dataset.blocks("train").read(np.arange(6))["item"].values, minlength=42
        )

    def embed(self, item):
        total = np.zeros(8) if self.events[item] == 0 else self.p["item/embedding"][item].copy()
        genres = self.table["genres"]
        ids = genres.values[genres.offsets[item] : genres.offsets[item + 1]]
        if len(ids):
            total += np.mean([self.p["content/genres/embedding"][one] for one in ids], axis=0)
        if year := self.table["year"][item]:
            total += self.p["content/year/embedding"][year]
        return total

    def tower(self, x, name):
        up = x @ self.p[f"{name}/up/kernel"] + self.p[f"{name}/up/bias"]
        gelu = 0.5 * up * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up**3)))
        vector = gelu @ self.p[f"{name}/down/kernel"] + self.p[f"{name}/down/bias"]
        return vector / np.sqrt((vector**2).sum() + 1e-6)

    def user(self, history):
        means = []
        for decay in MODEL.decays:
            total, weights = np.zeros(8), 0.0
            for age, item in enumerate(reversed(history)):
                if item < 2:
                    continue
                total += decay**age * self.embed(item)
                weights += decay**age
            means.append(total / max(weights, 1e-6))
        return self.tower(np.concatenate(means), "user_tower")

    def score(self, history, item):
        return self.user(history) @ self.tower(self.embed(item), "item_tower") / MODEL.temperature


def test_scores_match_an_independent_computation(built, described):
    histories = [[5, 9, 3], [7], list(range(2, 12)), [], [4, 4, COLD[0], 4]]
    padded = np.zeros((len(histories), 12), np.int32)
    for row, history in enumerate(histories):
        padded[row, : len(history)] = history
    scores = experiments.scores(MODEL, described.schema, built, padded)
    by_hand = ByHand(built, described)
    for row, history in enumerate(histories):
        expected = [by_hand.score(history[-6:], item) for item in range(2, 42)]
        np.testing.assert_allclose(scores[row, 2:42], expected, atol=2e-5)
    assert np.isneginf(scores[:, :2]).all()
    assert np.isneginf(scores[:, 42:]).all()


BATCH = np.array([[5, 9, 3, 9, 0, 0, 0], [6, 1, 7, 2, 9, 0, 0], [8, 0, 0, 0, 0, 0, 0]], np.int32)


def loss_of(model, parameters, schema):
    """Loss and weight of BATCH, whose first targets are taken, and the ids drawn for it."""
    batch = {"item": jnp.asarray(BATCH)}
    lookups = model.lookups(schema, batch, jax.random.key(1))
    rows = {
        name: EmbeddedRows(parameters[each.path][each.ids], each.ids)
        for name, each in lookups.items()
    }
    module = task.merge(task.structure(model, schema), parameters)
    drawn = np.asarray(lookups["negatives"].ids) if model.negatives else np.array([], int)
    return *model.loss(module, batch, rows, task.ForwardContext())[:2], drawn


@pytest.mark.parametrize("negatives", [0, 5])
def test_the_loss_matches_an_independent_computation(built, described, negatives):
    model = dataclasses.replace(MODEL, negatives=negatives)
    loss, weight, drawn = loss_of(model, built, described.schema)
    by_hand = ByHand(built, described)
    trained = by_hand.events[2:] > 0
    histories = described.blocks("train").read(np.arange(6))["item"]
    share = np.zeros(42)
    for begin, end in zip(histories.offsets[:-1], histories.offsets[1:], strict=True):
        for item in histories.values[begin:end]:
            share[item] += min(3 / (end - begin), 1)
    share /= share.sum()
    # The first three items of each row are targets; 1 stands for an unknown one.
    pairs = [(0, [], 5), (0, [5], 9), (0, [5, 9], 3), (1, [], 6), (1, [6, 1], 7)]
    pairs += [(1, [6, 1, 7], 2), (2, [], 8)]
    q = (7 * share + negatives * (by_hand.events > 0) / trained.sum()) / (7 + negatives)
    pool = [(user, item) for user, _, item in pairs]
    pool += [(None, item) for item in drawn if by_hand.events[item]]
    terms = []
    for user, history, item in pairs:
        others = [other for owner, other in pool if owner != user and other != item]
        each = np.array([np.exp(by_hand.score(history, other)) / q[other] for other in others])
        own = np.exp(by_hand.score(history, item))
        terms.append(-np.log(own / (own + (1 - q[item]) * each.mean())))
    assert weight == 7
    np.testing.assert_allclose(loss, np.mean(terms), rtol=2e-5)


def test_the_age_of_an_item_counts_unknown_ones_too(built, described):
    """The item before the last is known; one decay of 0 reads nothing where the last is not."""
    module = task.merge(task.structure(MODEL, described.schema), built)
    history = jnp.array([[5, 9, 1], [5, 9, 0]])
    embedded = module.embed(history, jnp.asarray(built["item/embedding"])[history])
    end = (history != 0).sum(1)[:, None]
    unknown, known = np.asarray(module.user(embedded, history >= 2, end))[:, 0]
    assert np.isfinite(unknown).all()
    assert not np.allclose(unknown, known)


def test_targets_are_drawn_evenly_from_what_is_known():
    keys = jax.random.split(jax.random.key(0), 2000)
    at, there = jax.vmap(lambda key: targets_of(jnp.asarray(BATCH) >= 2, 3, key))(keys)
    assert there[:, :2].all()
    assert there[:, 2].sum() == 2000, "the third history has one item"
    found = np.bincount(np.asarray(at[:, 1]).ravel(), minlength=7)
    np.testing.assert_allclose(found[[0, 2, 3, 4]] / 2000, 3 / 4, atol=0.04)
    assert not found[[1, 5, 6]].any()


def experiment(**options):
    model = dataclasses.replace(MODEL, **options.pop("model", {}))
    return dataclasses.replace(walks(**options), model=model)


def built_program(experiment, dataset, constants=None):
    one = mesh.build(Mesh(data=1), jax.devices()[:1])
    return build_program(experiment, dataset.schema, one, constants=constants)


@pytest.fixture(scope="module")
def trained(described, tmp_path_factory):
    """A run with all that would change a parameter: weight decay, clipping, a moving average."""
    chosen = experiment(ema=0.9, steps=6, evaluate_every=6, model={"id_dropout": 0.3})
    decayed = dataclasses.replace(chosen.optimizer, weight_decay=0.1)
    chosen = dataclasses.replace(chosen, optimizer=decayed)
    return chosen, loop.train(chosen, described, tmp_path_factory.mktemp("run")).directory


def test_constants_are_stored_as_they_are_and_never_trained(trained, described):
    chosen, folder = trained
    _, _, arrays = run.load(folder)
    constants = MODEL.constants(described)
    for path, values in constants.items():
        assert arrays[path].dtype == values.dtype
        np.testing.assert_array_equal(arrays[path], values)
    state = built_program(chosen, described).state
    for part in ("optimizer", "ema"):
        paths = {
            path[-1].key
            for path, leaf in jax.tree_util.tree_leaves_with_path(state[part])
            if leaf.ndim
        }
        assert paths == set(arrays) - set(constants), part


def test_a_run_never_starts_with_the_constants_of_another(trained, described):
    chosen, folder = trained
    options = dataclasses.replace(chosen.trainer, warm_start=WarmStart(run=str(folder)))
    constants = MODEL.constants(described)
    constants["constants/shares"] = constants["constants/shares"] * 2
    fine_tuned = dataclasses.replace(chosen, trainer=options)
    state = built_program(fine_tuned, described, constants).initialize()
    np.testing.assert_array_equal(
        state["parameters"]["constants/shares"], constants["constants/shares"]
    )
    theirs = warm_start.read(options.warm_start).parameters
    np.testing.assert_array_equal(
        state["parameters"]["item_tower/up/bias"], theirs["item_tower/up/bias"]
    )


def test_constants_that_are_missing_or_of_another_shape_are_named(described):
    program = built_program(experiment(), described)
    with pytest.raises(ConfigError, match=r"constants/counts is missing in the dataset and int32"):
        program.initialize()


def test_values_that_no_item_with_events_has_are_left_out(described):
    genres = described.table("item")["genres"]
    constants = MODEL.constants(described)
    counts, kept = constants["constants/counts"], constants["constants/genres"]
    of = [set(genres.values[genres.offsets[i] : genres.offsets[i + 1]].tolist()) for i in range(42)]
    learnt = set().union(*(of[item] for item in range(42) if counts[item]))
    for item in range(42):
        assert set(kept[item].tolist()) - {0} == of[item] & learnt
    assert not counts[list(COLD)].any()
    assert of[COLD[0]] | of[COLD[1]], "a cold item that has attributes"


def test_an_item_without_events_follows_its_attributes_alone(built, described):
    history = np.array([[5, 9, 3]])

    def altered(path, row):
        changed = built | {path: jnp.asarray(built[path]).at[row].add(1.0)}
        return experiments.scores(MODEL, described.schema, changed, history)[0]

    arrays = {path: jnp.asarray(each) for path, each in built.items()}
    before = experiments.scores(MODEL, described.schema, arrays, history)[0]
    cold, warm = COLD[0], 20
    assert np.isfinite(before[2:42]).all()
    assert altered("item/embedding", cold)[cold] == before[cold]
    assert altered("item/embedding", warm)[warm] != before[warm]
    year = int(described.table("item")["year"][cold])
    assert altered("content/year/embedding", year)[cold] != before[cold]


@pytest.fixture(scope="module")
def losses(described):
    """{case: losses of 20 steps} on 8 forced devices."""
    meshes = {"one": {"data": 1}, "data": {"data": 8}, "all": {"fsdp": 2, "tensor": 2}}
    cases = {name: {"family": "towers", "mesh": each} for name, each in meshes.items()}
    cases |= {
        f"sparse {name}": {"family": "sparse towers", "mesh": meshes[name]}
        for name in ("one", "all")
    }
    return on_eight_devices(described, cases)


@pytest.mark.parametrize("case", ["data", "all", "sparse all"])
def test_every_mesh_gives_the_losses_of_one_device(losses, case):
    one = losses["sparse one" if case.startswith("sparse") else "one"]
    assert np.mean(one[-5:]) < 0.9 * np.mean(one[:5])
    np.testing.assert_allclose(losses[case], one, atol=1e-5, rtol=0)


def test_what_cannot_be_is_named(dataset, described):
    with pytest.raises(ConfigError, match=r"model\.id_dropout is 0\.5, but without"):
        TwoTower(id_dropout=0.5)
    with pytest.raises(ConfigError, match=r"model\.decays is \(\)"):
        TwoTower(decays=())
    with pytest.raises(ConfigError, match=r"model\.temperature is 0"):
        TwoTower(temperature=0)
    with pytest.raises(
        ConfigError, match=r"model\.attributes has 'user', which is int32 of events"
    ):
        task.structure(TwoTower(attributes=("user",)), described.schema)
