"""Models of rows on the trainer: whole splits are evaluated, the best checkpoint chosen."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from podway.framework import artifact, task
from podway.framework.comparison.evaluation import compare
from podway.framework.config import Evaluation, Mesh, Model
from podway.framework.devices import mesh
from podway.framework.error import ConfigError
from podway.framework.evaluation.evaluator import answers
from podway.framework.evaluation.evaluators import evaluator_of
from podway.framework.evaluation.labels import LabelEvaluator
from podway.framework.evaluation.recommendation import RankingEvaluator
from podway.framework.heads import Binary
from podway.framework.input.batches import row_batches
from podway.framework.metrics import labels
from podway.framework.runs import checkpoint, run
from podway.framework.training import loop
from tests.framework import rows
from tests.framework.experiments import walks

LENGTHS = {"user": 1, "price": 1, "day": 1, "tags": 3, "item": 1, "item.brand": 1, "item.words": 4}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return rows.write(tmp_path_factory.mktemp("rows") / "dataset")


@pytest.mark.parametrize("batch_size", [32, 64, 75, 150, 1000])
def test_all_rows_of_a_split_come_once_in_order_in_batches_of_one_shape(dataset, batch_size):
    found = list(row_batches(dataset, "validation", LENGTHS, batch_size))
    assert len(found) == -(-150 // batch_size)
    assert {each.columns[name].shape[0] for each in found for name in LENGTHS} == {batch_size}
    assert all(each.valid.all() for each in found[:-1])
    columns = {
        name: np.concatenate([each.columns[name][each.valid] for each in found]) for name in LENGTHS
    }
    wanted = rows.table(150, seed=1)
    for name in ("user", "item", "price"):
        assert columns[name].tolist() == wanted[name].to_pylist()
    tags = [each + [0] * (3 - len(each)) for each in wanted["tags"].to_pylist()]
    assert columns["tags"].tolist() == tags
    brands = dataset.table("item")["brand"]
    assert columns["item.brand"].tolist() == brands[columns["item"]].tolist()
    rest = found[-1].columns["item.words"][~found[-1].valid]
    assert len(rest) == len(found) * batch_size - 150


def test_metrics_are_those_of_all_rows_whatever_the_batch(dataset):
    model = rows.MODELS["mmoe"]

    def compute(batch):
        """Knows the price, which tells the amount."""
        price = np.asarray(batch["price"])
        return {"click": price, "amount": 1 + price, "level": np.eye(3)[batch["item"] % 3]}

    one, other = (
        LabelEvaluator(model, Evaluation(batch_size=size, bootstrap=50))
        .for_split(dataset, "test")(compute)
        .metrics
        for size in (130, 48)
    )
    assert one == other
    truth = rows.table(130, seed=2)
    price, amount, click = (np.array(truth[name]) for name in ("price", "amount", "click"))
    np.testing.assert_allclose(
        one["amount/rmse"]["value"], np.sqrt(np.mean((1 + price - amount) ** 2)), rtol=1e-6
    )
    assert one["level/accuracy"]["value"] == 1.0
    auc = labels.auc(price, click)
    assert auc is not None
    assert one["click/auc"]["value"] == auc.value
    assert one["click/auc"]["low"] < one["click/auc"]["value"] < one["click/auc"]["high"]
    assert "low" not in one["click/ece"]
    quick = LabelEvaluator(model, Evaluation()).for_split(dataset, "test", intervals=False)
    assert quick(compute).metrics["click/auc"] == {"value": one["click/auc"]["value"]}


def test_predictions_on_devices_are_evaluated_like_those_on_the_host(dataset):
    model = rows.MODELS["dcn"]
    parameters = task.initialize(model, dataset.schema, jax.random.key(0))
    evaluator = LabelEvaluator(model, Evaluation(batch_size=64))
    said = answers(evaluator, dataset.schema, parameters)
    devices = mesh.build(Mesh(data=1), jax.devices()[:1])
    tables = [
        evaluator.for_split(dataset, "validation", devices=each, intervals=False)(said)
        for each in (None, devices)
    ]
    assert tables[0] == tables[1]


def test_the_baselines_say_the_train_splits_mean_and_that_of_the_item(dataset):
    evaluator = LabelEvaluator(rows.MODELS["mmoe"], Evaluation(batch_size=64, bootstrap=10))
    constant = evaluator.baselines(dataset, seed=0)["mean"]
    table = evaluator.for_split(dataset, "test")(constant).metrics
    train, test = (np.array(rows.table(n, seed)["amount"]) for n, seed in ((1200, 0), (130, 2)))
    wanted = np.sqrt(np.mean((test - train.mean(dtype=np.float64)) ** 2))
    np.testing.assert_allclose(table["amount/rmse"]["value"], wanted, rtol=1e-5)
    assert table["click/auc"]["value"] == table["click/gauc"]["value"] == 0.5
    mean = np.array(rows.table(1200, 0)["click"]).mean()
    click = np.array(rows.table(130, 2)["click"])
    np.testing.assert_allclose(table["click/calibration"]["value"], mean / click.mean(), rtol=1e-3)
    of_item = evaluator.baselines(dataset, seed=0)["item mean"]({"item": np.array([7, 0])})
    train = rows.table(1200, 0)
    own = np.array(train["item"]) == 7
    for label, logit in (("amount", lambda p: p), ("click", lambda p: np.log(p / (1 - p)))):
        values = np.array(train[label], np.float64)
        means = (values[own].sum() + 20 * values.mean()) / (own.sum() + 20), values.mean()
        np.testing.assert_allclose(of_item[label], [logit(mean) for mean in means], rtol=1e-5)
    assert of_item["level"].argmax(1)[0] == 7 % 3


def test_labels_of_another_kind_are_refused_before_training(dataset):
    model = dataclasses.replace(rows.MODELS["dcn"], objectives=(Binary("amount"),))
    with pytest.raises(ConfigError, match=r"the label 'amount' holds .* Binary"):
        LabelEvaluator(model, Evaluation()).for_split(dataset, "validation")


@pytest.mark.parametrize(("largest", "best"), [(True, 3), (False, 2)])
def test_the_best_checkpoint_is_the_largest_or_the_smallest(tmp_path, largest, best):
    found = checkpoint.Checkpoints(tmp_path / "c", {}, keep=1, metric="m", largest_is_best=largest)
    for step, value in enumerate((0.5, 0.1, 0.9, 0.4), 1):
        found.save(step, {"step": np.int32(step)}, step, {"m": value})
    found.wait()
    assert found.best() == best
    assert {child.name for child in (tmp_path / "c").iterdir()} == {str(best), "4"}
    found.close()


def test_a_metric_that_is_not_a_number_is_never_best(tmp_path):
    found = checkpoint.Checkpoints(tmp_path / "c", {}, keep=9, metric="m", largest_is_best=False)
    for step, value in enumerate((np.nan, 0.5, np.inf, np.nan), 1):
        found.save(step, {"step": np.int32(step)}, step, {"m": value, "other": np.nan})
        found.wait()
        assert found.best() == (None if step == 1 else 2)
    assert found.metrics(1) == {"m": None, "other": None}
    found.close()
    for file in (tmp_path / "c").rglob("metrics/metrics"):
        json.loads(file.read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize("kind", ["click", "amount"])
def test_predictions_that_are_not_finite_have_no_metrics(dataset, kind):
    """A sort takes what is not a number for the largest, which may be the right answer."""
    model = rows.MODELS["mmoe"]
    constant = LabelEvaluator(model, Evaluation()).baselines(dataset, seed=0)["mean"]

    def compute(batch):
        found = {name: np.array(each) for name, each in constant(batch).items()}
        found[kind][0] = np.nan
        return found

    table = (
        LabelEvaluator(model, Evaluation(batch_size=75))
        .for_split(dataset, "validation")(compute)
        .metrics
    )
    assert table[f"{kind}/invalid_predictions"] == {"value": 2 / 150, "rows": 2}
    for name, cell in table.items():
        assert np.isnan(cell["value"]) == (name.startswith(f"{kind}/") and "invalid" not in name), (
            name
        )


def test_a_model_of_rows_is_trained_selected_and_compared(dataset, tmp_path):
    experiment = dataclasses.replace(
        walks(steps=90, batch_size=64, evaluate_every=30, checkpoint_every=30),
        model=rows.MODELS["dcn"],
        evaluation=Evaluation(batch_size=64, bootstrap=20),
    )
    outcome = loop.train(experiment, dataset, tmp_path)
    assert outcome.finished
    records = [json.loads(line) for line in (outcome.directory / "metrics.jsonl").open()]
    evaluated = {
        each["step"]: each["validation/click/logloss"]
        for each in records
        if "validation/click/logloss" in each
    }
    assert sorted(evaluated) == [30, 60, 90]
    manifest = artifact.read(outcome.directory, "run")
    assert manifest.details["selected_step"] == min(evaluated, key=evaluated.__getitem__)
    evaluation = compare(experiment, outcome.directory, dataset, tmp_path)
    table = json.loads((evaluation / "table.json").read_text())
    assert list(table) == ["Dcn", "mean", "item mean"]
    assert table["Dcn"]["click/auc"]["value"] > 0.75
    assert table["Dcn"]["amount/rmse"]["value"] < table["mean"]["amount/rmse"]["value"]
    _, _, parameters = run.load(outcome.directory)
    evaluator = evaluator_of(experiment.model, experiment.evaluation)
    again = evaluator.for_split(dataset, "test")(
        answers(evaluator, dataset.schema, parameters)
    ).metrics
    np.testing.assert_allclose(
        again["click/logloss"]["value"], table["Dcn"]["click/logloss"]["value"], rtol=1e-5
    )


def test_a_model_may_bring_its_own_evaluator():
    mine = LabelEvaluator(rows.MODELS["mmoe"], Evaluation())

    class Own(Model):
        def evaluator(self, options):
            assert options == Evaluation(batch_size=7)
            return mine

    assert evaluator_of(Own(), Evaluation(batch_size=7)) is mine
    assert isinstance(evaluator_of(rows.MODELS["mmoe"], Evaluation()), LabelEvaluator)
    assert isinstance(evaluator_of(walks().model, Evaluation()), RankingEvaluator)
