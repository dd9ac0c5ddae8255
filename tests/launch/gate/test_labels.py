"""Models of labels beside each other, on the data of both and on later data."""

import csv
import dataclasses
import pathlib
import random

import numpy as np
import pytest

import podway
from podway.framework import artifact
from podway.framework.comparison import evaluation
from podway.framework.config import (
    Columns,
    Csv,
    Data,
    Evaluation,
    Experiment,
    RowExamples,
    SideTable,
    Trainer,
)
from podway.framework.config.features import Categorical, Hashed, Label, Numeric, Quantiles
from podway.framework.heads import Binary
from podway.framework.input.dataset import Dataset
from podway.framework.metrics.labels import sigmoid
from podway.framework.models.dcn import Dcn
from podway.framework.report import artefacts
from podway.framework.training.optimizer import AdamW
from podway.launch import stages
from podway.launch.gate import labelled
from podway.launch.gate.contender import Contender, Options
from podway.launch.gate.measured import Point, Unmeasured, Values
from podway.launch.loaded import place

COLUMNS = ["user", "item", "time", "price", "tags", "shop", "bought"]
METRICS = ("auc", "logloss", "normalized_entropy", "calibration", "ece")


def rows(seed: int, first: int, ahead: int) -> list[list[str]]:
    """Events from a time on; later ones are of other items and tags, and of other prices."""
    draw = random.Random(seed)
    found = []
    for number in range(240):
        price = round(draw.uniform(1, 40) * (1 + ahead), 2)
        tags = "|".join(draw.sample(["new", "red", "old", f"tag {ahead}"], draw.randrange(4)))
        bought = int(draw.random() < (0.7 if "new" in tags else 0.2))
        who = f"u{draw.randrange(40)}", f"i{draw.randrange(9) + 3 * ahead}"
        at = str(1_600_000_000 + 3_000 * (first + number))
        price = "" if number % 17 == 0 else str(price)
        found.append([*who, at, price, tags, str(draw.randrange(4)), str(bought)])
    return found


def experiment(folder: pathlib.Path, name: str, steps: int, *features) -> Experiment:
    brand = SideTable("item", str(folder / "items.csv"), "id", (Categorical("brand"),))
    own = Numeric("price", scale="log_standard", missing=-1.0), Categorical("tags", many=True)
    return Experiment(
        name="bought",
        data=Data(
            name="bought",
            path=str(folder / f"{name}.csv"),
            columns=Columns("user", "item", "time"),
            format=Csv(),
            features=(Label("bought"), *own, Hashed("shop", buckets=5), *features),
            tables=(brand,),
            examples=RowExamples(),
            min_user_events=1,
            min_item_events=1,
        ),
        model=Dcn(objectives=(Binary("bought"),), layers=1, width=4),
        optimizer=AdamW(learning_rate=1e-2, warmup_steps=2),
        trainer=Trainer(
            steps=steps,
            batch_size=32,
            evaluate_every=steps,
            checkpoint_every=steps,
            shuffle_window_blocks=2,
        ),
        evaluation=Evaluation(batch_size=64, bootstrap=10),
    )


def contender(number: int, run, dataset) -> Contender:
    """A run, as if it had been published."""
    return Contender(number, place.find(run), run, dataset)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("labels")
    for name, content in {"early": rows(1, 0, 0), "late": rows(2, 240, 1)}.items():
        with (path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *content])
    with (path / "items.csv").open("w", newline="") as file:
        brands = [(f"i{item}", f"brand {item % 3}") for item in range(11)]
        csv.writer(file).writerows([("id", "brand"), *brands])
    return path


@pytest.fixture(scope="module")
def champion(folder) -> tuple[Experiment, Contender]:
    given = experiment(folder, "early", 12)
    dataset, run = stages.evaluate(given, folder / "w")
    return given, contender(1, run, dataset.directory)


def test_both_are_measured_as_they_were_evaluated(folder, champion):
    given, first = champion
    longer = dataclasses.replace(given, trainer=dataclasses.replace(given.trainer, steps=24))
    dataset, run = stages.evaluate(longer, folder / "w")
    second = contender(2, run, dataset.directory)
    found = labelled.measure(second, first, longer, dataset, Options(folder / "w"))
    assert found.by == labelled.PREDICTIONS
    assert found.invalid == 0
    tables = []
    for each, of in ((given, first), (longer, second)):
        made = evaluation.directory(each, artifact.read(of.run, "run"), folder / "w")
        tables.append(artefacts.table(made)["Dcn"])
    users = len(np.unique(found.truth["user"]))
    for metric in METRICS:
        both = found.metric(f"bought/{metric}", "")
        own = tables[1][f"bought/{metric}"]["value"]
        if metric in ("normalized_entropy", "ece"):
            assert both == Point(pytest.approx(own))
            continue
        assert isinstance(both, Values)
        assert both.champion is not None
        assert len(both.candidate) == users
        theirs = tables[0][f"bought/{metric}"]["value"]
        assert (both.candidate.mean(), both.champion.mean()) == pytest.approx((own, theirs))
    head = found.metric("bought/logloss", "target head")
    assert isinstance(head, Values)
    assert len(head.candidate) < users
    for name, part, said in (
        ("bought/aux", "", "bought has no aux; its metrics are auc, calibration"),
        ("bough/auc", "", "no metric of a model of labels; give one as LABEL/METRIC, of bought"),
        ("bought/auc", "target cold", "no test row is in the slice"),
    ):
        wrong = found.metric(name, part)
        assert isinstance(wrong, Unmeasured)
        assert said in wrong.reason
    broken = {"bought": np.where(np.arange(len(found.truth["user"])) == 3, np.nan, 0.0)}
    nan = dataclasses.replace(found, candidate=broken)
    assert nan.invalid == pytest.approx(1 / len(found.truth["user"]))
    for metric in METRICS:
        values = nan.metric(f"bought/{metric}", "")
        assert isinstance(values, Values)
        assert np.isnan(values.candidate).all()


def test_the_champion_answers_for_later_rows_as_it_would_be_asked(folder, champion):
    """The candidate's rows, translated from its dataset, and the raw rows themselves."""
    _, first = champion
    late = experiment(folder, "late", 6)
    dataset, run = stages.train(late, folder / "w")
    second = contender(2, run, dataset.directory)
    found = labelled.measure(second, first, late, dataset, Options(folder / "w"))
    assert found.by == labelled.TRANSLATED
    assert found.champion is not None
    blocks = dataset.blocks("test")
    times = np.asarray(blocks.read(np.arange(len(blocks.rows)), ["time"])["time"]) // 1_000_000
    raw = {int(row[2]): dict(zip(COLUMNS, row, strict=True)) for row in rows(2, 240, 1)}
    asked = [
        {**row, "time": int(row["time"]), "price": float(row["price"]) if row["price"] else None}
        for row in (raw[int(time)] for time in times)
    ]
    expected = podway.load(first.run).predict(asked)["bought"]
    assert len(expected) > 20
    assert len(set(expected.round(4))) > 15
    np.testing.assert_allclose(sigmoid(found.champion["bought"]), expected, rtol=1e-4, atol=1e-5)

    gone = labelled.measure(
        second, dataclasses.replace(first, run=None), late, dataset, Options(folder / "w")
    )
    missing = gone.metric("bought/auc", "")
    assert isinstance(missing, Unmeasured)
    assert "the champion: its run is gone" in missing.reason


def test_quantiles_of_other_values_cannot_be_translated(folder):
    level, at = Quantiles("level", column="price", buckets=4), Options(folder / "w")
    made = []
    for name in ("early", "late"):
        dataset, run = stages.train(experiment(folder, name, 2, level), folder / "w")
        made.append(contender(len(made) + 1, run, dataset.directory))
    late = experiment(folder, "late", 2, level)
    found = labelled.measure(made[1], made[0], late, Dataset.open(made[1].dataset), at)
    missing = found.metric("bought/auc", "")
    assert isinstance(missing, Unmeasured)
    assert "level is fitted" in missing.reason or "was fitted to other values" in missing.reason
