"""A table without users, items and times: from a CSV to a served answer."""

import csv

import numpy as np
import pytest
import tensorflow as tf

from podway.export.verification import verify
from podway.framework.config import (
    Columns,
    Data,
    Evaluation,
    Experiment,
    Export,
    NotMissing,
    RandomSplit,
    RowExamples,
    Trainer,
)
from podway.framework.config.features import Categorical, Label, Numeric
from podway.framework.heads import Binary, Regression
from podway.framework.models.dcn import Dcn
from podway.framework.training.optimizer import AdamW
from podway.launch import stages

TOWNS = {"Ulm": 1.0, "Bonn": 2.0, "Köln": 4.0}


def write_houses(path, count=700):
    """A house's price is its town's level plus its size; every tenth row has none."""
    draw = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "town", "size", "price", "trust"])
        for row in range(count):
            town, size = str(draw.choice(list(TOWNS))), float(draw.random())
            price = "" if row % 10 == 0 else TOWNS[town] + size + 0.05 * draw.normal()
            writer.writerow([row, town, size, price, draw.choice([0.5, 1.0])])


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    monkeypatch.setattr(verify, "in_fresh_process", verify.verify)
    write_houses(tmp_path / "houses.csv")
    features = (
        Categorical("town"),
        Numeric("size"),
        Label("price"),
        Label("dear", column="price", above=4.0),
    )
    return Experiment(
        name="houses",
        data=Data(
            name="houses",
            path=str(tmp_path / "houses.csv"),
            columns=Columns(user=None, item=None, time=None, weight="trust"),
            where=(NotMissing("price"),),
            features=features,
            examples=RowExamples(),
            split=RandomSplit(validation=0.15, test=0.15, stratify="dear"),
        ),
        model=Dcn(objectives=(Regression("price"), Binary("dear")), width=4, layers=1, deep=(16,)),
        optimizer=AdamW(learning_rate=2e-2, warmup_steps=10),
        trainer=Trainer(
            steps=150,
            batch_size=64,
            evaluate_every=75,
            checkpoint_every=150,
            shuffle_window_blocks=1,
        ),
        evaluation=Evaluation(batch_size=64, bootstrap=20),
        export=Export(batch_buckets=(1, 4)),
    )


def test_from_a_csv_to_a_served_answer(experiment, tmp_path, capsys):
    published = stages.run(experiment, tmp_path / "w")
    said = capsys.readouterr().out
    assert "70  by where: price not missing" in said
    signature = tf.saved_model.load(str(published)).signatures["serving_default"]
    answer = signature(town=tf.constant(["Ulm", "Köln"]), size=tf.constant([0.5, 0.5]))
    np.testing.assert_allclose(answer["price"].numpy(), [1.5, 4.5], atol=0.3)
    assert answer["dear"].numpy()[1] > 0.6 > 0.2 > answer["dear"].numpy()[0]
    assert "price/rmse" in said
    assert "dear/auc" in said
    assert "gauc" not in said, "without users there are no groups"
