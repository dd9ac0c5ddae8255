"""Event weights: what each event counts as a target, in every model that is trained."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest
from etils import epath

from benchmarks import synthetic
from podway.framework import task
from podway.framework.config import Data, Evaluation, Experiment, Trainer
from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.heads import Binary, Regression
from podway.framework.input import interactions
from podway.framework.input.batches import Dataset, TrainBatches
from podway.framework.input.packing import SEGMENT
from podway.framework.models import bert4rec
from podway.framework.models.bert4rec import Bert4Rec
from podway.framework.models.dcn import Dcn
from podway.framework.models.decoder import Decoder
from podway.framework.models.hstu import Hstu
from podway.framework.models.parts.item_losses import Bce, SampledSoftmax
from podway.framework.models.popularity import Popularity
from podway.framework.models.retrieve_rank import RetrieveRank
from podway.framework.models.sasrec import SasRec
from podway.framework.models.two_tower import TwoTower
from podway.framework.runs import run
from podway.framework.schema.schema import EVENT_WEIGHT, Feature, Vocabulary
from podway.framework.training import loop
from podway.framework.training.optimizer import AdamW
from tests.framework.experiments import noisy

ITEMS, LENGTH, USERS = 14, 6, 24
CAUSAL = {
    "sasrec": SasRec(width=8, blocks=1, max_length=5, dropout=0.0),
    "bce": SasRec(width=8, blocks=1, max_length=5, dropout=0.0, objective=Bce(negatives=3)),
    "sampled": SasRec(width=8, blocks=1, max_length=5, dropout=0.0, objective=SampledSoftmax(5)),
    "hstu": Hstu(width=8, blocks=1, max_length=5, dropout=0.0),
    "decoder": Decoder(width=8, layers=1, heads=2, kv_heads=1, head_width=4, feed_forward=8,
                       max_length=5),
}  # fmt: skip
TOWERS = TwoTower(width=8, hidden=8, max_length=5, targets=6, dropout=0.0)
OTHERS = {
    "bert4rec": Bert4Rec(width=8, blocks=1, max_length=5, dropout=0.0),
    "two towers": TOWERS,
    "chain": RetrieveRank(retrieval=TOWERS, candidates=5, targets=6, sampled=4, hidden=8),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    """Histories of the items 2, 3, …; each even item is history only."""
    draw = np.random.default_rng(0)
    lengths = draw.integers(3, LENGTH + 1, USERS)
    item = draw.integers(2, ITEMS, lengths.sum()).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    weights = np.where(item % 2, item / np.float32(4), np.float32(0)).astype(np.float32)

    def lists(values) -> pa.Array:
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))

    table = pa.table(
        {
            "user": np.arange(2, USERS + 2, dtype=np.int32),
            "item": lists(item),
            EVENT_WEIGHT: lists(weights),
        }
    )
    targets = table.append_column("target", pa.array(np.full(USERS, 3, np.int32)))
    return synthetic.write(
        epath.Path(tmp_path_factory.mktemp("weighted")) / "d",
        table,
        (
            Feature("user", "user", "int32", vocabulary="user", size=USERS + 2),
            Feature("item", "item", "int32", True, "item", ITEMS, LENGTH),
            Feature(EVENT_WEIGHT, "weight", "float32", True, max_length=LENGTH),
            Feature("target", "target", "int32", vocabulary="item", size=ITEMS),
        ),
        block_rows=8,
        vocabularies={
            "item": Vocabulary(
                ("", "", *map(str, range(2, ITEMS))),
                tuple(np.bincount(item, minlength=ITEMS).tolist()),
            )
        },
        others={"validation": targets, "test": targets},
    )


BATCH = np.array([[5, 9, 3, 8, 0, 0], [6, 2, 7, 2, 9, 4], [3, 0, 0, 0, 0, 0]], np.int32)
WEIGHTS = np.array([[9, 0, 1.5, 2, 0, 0], [1, 0.5, 0, 0, 1, 3], [1, 0, 0, 0, 0, 0]], np.float32)


def loss_of(model, dataset, weights, key=None):
    """The loss of BATCH and its weight; drawn items are the same each time."""
    graph, parameters = noisy(model, dataset.schema)
    parameters |= {path: jnp.asarray(v) for path, v in model.constants(dataset).items()}
    length = model.lengths(dataset.schema)["item"]
    batch = {"item": jnp.asarray(BATCH[:, :length])}
    batch |= {} if weights is None else {EVENT_WEIGHT: jnp.asarray(weights[:, :length])}
    rows = {
        name: EmbeddedRows(parameters[lookup.path][lookup.ids], lookup.ids)
        for name, lookup in model.lookups(dataset.schema, batch, jax.random.key(1)).items()
    }
    context = task.ForwardContext(key)
    loss, weight, _ = model.loss(task.merge(graph, parameters), batch, rows, context)
    return float(loss), float(weight)


@pytest.mark.parametrize("name", CAUSAL)
def test_positions_count_by_the_weight_of_the_next_item(dataset, name):
    of = functools.partial(loss_of, CAUSAL[name], dataset)
    targets = np.zeros_like(BATCH, bool)
    targets[:, 1:] = BATCH[:, 1:] >= 2
    terms, total = 0.0, 0.0
    for at in zip(*np.nonzero(targets & (WEIGHTS > 0)), strict=True):
        alone = np.zeros_like(WEIGHTS)
        alone[at] = 1.0
        loss, weight = of(alone)
        assert weight == 1
        terms, total = terms + WEIGHTS[at] * loss, total + WEIGHTS[at]
    loss, weight = of(WEIGHTS)
    assert weight == total == 8.0  # nothing is said of the first item of a history
    np.testing.assert_allclose(loss, terms / total, rtol=1e-5)
    np.testing.assert_allclose(of(np.full_like(WEIGHTS, 2)), (of(None)[0], 16), rtol=1e-5)


@pytest.mark.parametrize("name", OTHERS)
def test_equal_weights_are_none_and_context_is_no_target(dataset, name):
    of = functools.partial(loss_of, OTHERS[name], dataset, key=jax.random.key(0))
    loss, weight = of(None)
    found = of(np.full_like(WEIGHTS, 3))
    np.testing.assert_allclose(found, (loss, 3 * weight), rtol=1e-5)
    alone = np.zeros_like(WEIGHTS)
    alone[0, 2] = alone[1, 4] = 0.25
    assert of(alone)[1] == 0.5


def test_gaps_are_of_targets_alone(dataset):
    """Of a history with one target, the mask hides that one."""
    known = np.zeros((50, 6), bool)
    known[:, 3] = True
    at, valid = bert4rec.gaps(jnp.asarray(known), 0.9, 0.5, jax.random.key(0))
    assert np.asarray(valid).sum() == 50
    assert (np.asarray(at)[np.asarray(valid)] == 3).all()


def test_weights_come_with_their_items(dataset):
    lengths = CAUSAL["sasrec"].lengths(dataset.schema)
    assert lengths == {"item": LENGTH, EVENT_WEIGHT: LENGTH}
    for pack in (False, True):
        source = TrainBatches(
            dataset, lengths, batch_size=8, steps=6, seed=0, window=2, crop="random", pack=pack
        )
        for index in range(6):
            batch = source[index]
            odd = batch["item"] % 2 == 1
            np.testing.assert_array_equal(batch[EVENT_WEIGHT], np.where(odd, batch["item"] / 4, 0))
            assert (SEGMENT in batch) == pack


def test_who_counts_targets_counts_no_context(dataset):
    counts = interactions.target_counts(dataset)
    assert counts[3::2].all()
    assert not counts[2::2].any()
    assert (interactions.train_counts(dataset) >= counts).all()
    assert interactions.train_counts(dataset)[2::2].any()
    assert Popularity().fit(dataset, 0)["counts"][2] == 0
    shares = TOWERS.constants(dataset)["constants/shares"]
    assert not shares[2::2].any()
    np.testing.assert_allclose(shares.sum(), 1, rtol=1e-5)


def test_training_learns_to_say_targets_alone(dataset, tmp_path):
    model = CAUSAL["sasrec"]
    experiment = Experiment(
        name="weighted",
        data=Data(name="weighted", path="by hand"),
        model=model,
        optimizer=AdamW(learning_rate=3e-2, warmup_steps=2),
        trainer=Trainer(steps=60, batch_size=8, shuffle_window_blocks=2, evaluate_every=60),
        evaluation=Evaluation(cutoffs=(3,), batch_size=8, bootstrap=1, exclude_seen=False),
    )
    outcome = loop.train(experiment, dataset, tmp_path)
    assert outcome.finished
    _, _, parameters = run.load(outcome.directory)
    answer = task.inference(model, dataset.schema, model.scores)
    batch = {"item": jnp.asarray(BATCH[:2, :5])}
    scores = np.asarray(answer({p: jnp.asarray(v) for p, v in parameters.items()}, batch))
    chances = np.asarray(jax.nn.softmax(scores, axis=1))
    assert (chances[:, 3:ITEMS:2].sum(1) > 0.75).all(), "half of the items, half of the events"


def test_rows_count_by_their_weights():
    model = Dcn(objectives=(Binary("click"), Regression("amount")), width=4, layers=1, deep=(4,))
    logits = {"click": jnp.array([0.5, -1.0, 2.0]), "amount": jnp.array([1.0, 2.0, 3.0])}
    batch = {"click": jnp.array([1.0, 0.0, 1.0]), "amount": jnp.array([0.0, 2.5, 1.0])}

    class Said(Dcn):
        def predict(self, module, batch, rows, context=task.SERVING):
            return logits

    said = Said(**{field.name: getattr(model, field.name) for field in dataclasses.fields(model)})
    plain = [float(x) for x in said.loss(None, batch, {}, task.SERVING)[:2]]
    weights = jnp.array([2.0, 0.0, 0.5])
    loss, count, metrics = said.loss(None, batch | {EVENT_WEIGHT: weights}, {}, task.SERVING)
    click = np.log1p(np.exp([-0.5, -1.0, -2.0]))
    assert float(count) == 2.5
    np.testing.assert_allclose(
        metrics["click_loss"], (2 * click[0] + 0.5 * click[2]) / 2.5, rtol=1e-5
    )
    np.testing.assert_allclose(metrics["amount_loss"], (2 * 1 + 0.5 * 4) / 2.5, rtol=1e-6)
    np.testing.assert_allclose(loss, metrics["click_loss"] + metrics["amount_loss"], rtol=1e-6)
    ones = said.loss(None, batch | {EVENT_WEIGHT: jnp.ones(3)}, {}, task.SERVING)[:2]
    np.testing.assert_allclose([float(x) for x in ones], plain, rtol=1e-6)
