"""Class weights of labels: in the loss, balanced by the train split, and in what is measured."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework import codec
from podway.framework.error import ConfigError
from podway.framework.evaluation.evaluators import evaluator_of
from podway.framework.heads import Binary, Classes, Head, Regression, balance
from podway.framework.metrics.labels import Estimate
from podway.framework.training import loop
from tests.framework import rows
from tests.framework.experiments import walks


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return rows.write(tmp_path_factory.mktemp("rows") / "dataset")


def drawn(seed: int, size: int, classes: int):
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, size).astype(np.float32)
    return draw.normal(size=(size, classes)).astype(np.float32), labels


def measured(head: Head, logits: np.ndarray, labels: np.ndarray) -> dict[str, Estimate]:
    found = head.measure(logits, labels, np.zeros(len(labels), np.int64))
    return {name: estimate for name, estimate in found.items() if estimate is not None}


def test_a_rows_loss_counts_by_its_class():
    logits, labels = drawn(0, 50, 3)
    plain, weighted = (
        Classes("level", classes=3),
        Classes("level", classes=3, class_weights=(1, 0, 5)),
    )
    one, other = (
        np.asarray(each.loss(jnp.array(logits), jnp.array(labels))) for each in (plain, weighted)
    )
    for row, label in enumerate(labels.astype(int)):
        assert other[row] == pytest.approx((1, 0, 5)[label] * one[row], rel=1e-6)
    clicks = (labels > 0).astype(np.float32)
    one, other = (
        np.asarray(each.loss(jnp.array(logits[:, 0]), jnp.array(clicks)))
        for each in (Binary("click"), Binary("click", class_weights=(1.0, 9.0)))
    )
    np.testing.assert_allclose(other, np.where(clicks == 1, 9, 1) * one, rtol=1e-6)


def test_balanced_classes_have_the_same_sum():
    labels = np.repeat([0, 1, 2], [70, 25, 5])
    weights = balance(np.bincount(labels))
    np.testing.assert_allclose(weights, [100 / (3 * n) for n in (70, 25, 5)])
    sums = np.bincount(labels, weights=weights[labels])
    np.testing.assert_allclose(sums, sums[0])
    assert weights[labels].mean() == pytest.approx(1)
    np.testing.assert_allclose(balance(np.array([30, 0, 10])), [40 / 60, 0, 40 / 20])


def test_balanced_weights_are_those_of_the_train_split(dataset):
    heads = (
        Binary("click", balanced=True),
        Regression("amount"),
        Classes("level", classes=3, balanced=True),
    )
    model = dataclasses.replace(rows.MODELS["dcn"], objectives=heads)
    click, amount, level = model.prepared(dataset).objectives
    truth = rows.table(rows.SIZES["train"], seed=0)
    for head, name, classes in ((click, "click", 2), (level, "level", 3)):
        labels = np.array(truth[name])
        wanted = [len(labels) / (classes * (labels == each).sum()) for each in range(classes)]
        np.testing.assert_allclose(head.class_weights, wanted)
        assert not head.balanced
    assert amount == heads[1]
    unknown = model.prepared(None).objectives
    assert unknown[0].class_weights == (1.0, 1.0)
    assert rows.MODELS["dcn"].prepared(dataset) is rows.MODELS["dcn"]
    with pytest.raises(AssertionError, match="comes first"):
        heads[0].loss(jnp.zeros(2), jnp.zeros(2))


def test_a_balanced_run_is_that_of_the_weights_and_is_selected_by_them(dataset, tmp_path):
    counts = np.bincount(np.array(rows.table(rows.SIZES["train"], seed=0)["click"]).astype(int))
    explicit = tuple(map(float, balance(counts)))
    losses = []
    for number, head in enumerate(
        (Binary("click", balanced=True), Binary("click", class_weights=explicit))
    ):
        model = dataclasses.replace(rows.MODELS["dcn"], objectives=(head,))
        experiment = dataclasses.replace(
            walks(steps=4, evaluate_every=4, batch_size=64), model=model
        )
        assert evaluator_of(model, experiment.evaluation).metric == "click/weighted_logloss"
        directory = loop.train(experiment, dataset, tmp_path / str(number)).directory
        text = (directory / "metrics.jsonl").read_text()
        losses.append(
            [
                line.split('"loss": ')[1].split(",")[0]
                for line in text.splitlines()
                if '"loss"' in line
            ]
        )
        assert '"validation/click/weighted_logloss"' in text
        assert '"validation/click/logloss"' in text
    assert losses[0] == losses[1]


def test_the_weighted_loss_is_that_of_a_slow_computation():
    logits, labels = drawn(1, 80, 3)
    labels[labels == 2] = 1  # a class without rows
    losses = measured(Classes("level", classes=3), logits, labels)["logloss"]
    each = [
        np.log(np.exp(row.astype(np.float64)).sum()) - row[int(label)]
        for row, label in zip(logits, labels, strict=True)
    ]
    assert losses.value == pytest.approx(np.mean(each))
    weights = [0.5, 3.0, 7.0]
    found = measured(Classes("level", classes=3, class_weights=tuple(weights)), logits, labels)
    own = [weights[int(label)] for label in labels]
    estimate = found["weighted_logloss"]
    assert estimate.value == pytest.approx(np.average(each, weights=own))
    assert estimate.influence is not None
    assert estimate.influence.sum() == pytest.approx(0, abs=1e-9)
    balanced = measured(Classes("level", classes=3, balanced=True), logits, labels)
    mean = np.mean([np.mean(np.array(each)[labels == one]) for one in (0, 1)])
    assert balanced["weighted_logloss"].value == pytest.approx(mean)
    none = measured(Binary("click", class_weights=(0, 1)), logits[:, 0], np.zeros(80))
    assert "weighted_logloss" not in none


def test_weights_that_make_no_sense_are_named():
    for message, wrong in {
        "'a' is balanced, which says the class_weights": lambda: Binary(
            "a", class_weights=(1, 2), balanced=True
        ),
        "'a' has 3 class_weights; give 2, one a class": lambda: Binary(
            "a", class_weights=(1, 2, 3)
        ),
        "'b' has 2 class_weights; give 4": lambda: Classes("b", classes=4, class_weights=(1, 2)),
        "the class_weights of 'a' are": lambda: Binary("a", class_weights=(0, 0)),
        "the class_weights of 'c' are": lambda: Binary("c", class_weights=(1, float("nan"))),
        "no row of the train split has the label 1": lambda: Binary("a", balanced=True).prepared(
            np.array([7, 0])
        ),
        "holds .*2.*, and objectives says that it is Binary": lambda: Binary("a").count(
            np.array([2.0])
        ),
    }.items():
        with pytest.raises(ConfigError, match=message):
            wrong()


def test_runs_of_before_there_were_weights_stay_up_to_date():
    assert codec.to_json(Binary("click"), versioned=True) == {"label": "click", "weight": 1.0}
    assert codec.to_json(Classes("a"), versioned=True) == {
        "label": "a",
        "weight": 1.0,
        "classes": 2,
    }
    weighted = Binary("click", class_weights=(1.0, 9.0))
    assert codec.from_json(Binary, codec.to_json(weighted)) == weighted
