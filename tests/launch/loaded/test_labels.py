"""Models of labels: a run and what was published of it answer alike, and as was evaluated."""

import csv
import dataclasses
import datetime
import random

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import podway
from podway.export.verification import verify
from podway.framework.config import (
    Columns,
    Csv,
    Data,
    Evaluation,
    Experiment,
    Export,
    RowExamples,
    SideTable,
    Trainer,
)
from podway.framework.config.features import (
    Categorical,
    Cyclical,
    Hashed,
    Label,
    Numeric,
    Quantiles,
    Text,
)
from podway.framework.evaluation import evaluator
from podway.framework.evaluation.evaluators import evaluator_of
from podway.framework.heads import Binary, Regression
from podway.framework.input.batches import row_batches
from podway.framework.input.dataset import Dataset
from podway.framework.models.dcn import Dcn
from podway.framework.runs import run as runs
from podway.framework.training.optimizer import AdamW

COLUMNS = ["user", "item", "time", "price", "tags", "words", "shop", "bought", "stars"]


def drawn(draw: random.Random, number: int) -> list[str]:
    tags = "|".join(draw.sample(["new", "red", "blue", "old"], draw.randrange(4)))
    words = " ".join(draw.choices(["Amélie", "the", "STRAẞE", "2", "x-y"], k=draw.randrange(5)))
    price = draw.choice(["", "0", "9.5", "1e9", "-3"])
    time = str(1_600_000_000 + 3_000 * number)
    shop = draw.choice(["1", "2", "30", ""])
    stars = str(draw.randrange(6))
    return [
        *(f"u{draw.randrange(20)}", f"i{draw.randrange(9)}", time, price, tags, words, shop),
        *(str(int(tags > "n")), stars),
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[podway.Result, list[dict[str, str]]]:
    folder, draw = tmp_path_factory.mktemp("labels"), random.Random(3)
    rows = [drawn(draw, number) for number in range(400)]
    with (folder / "events.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    with (folder / "items.csv").open("w", newline="") as file:
        brands = [(f"i{item}", f"brand {item % 3}") for item in range(8)]
        csv.writer(file).writerows([("id", "brand"), *brands])
    brand = SideTable("item", str(folder / "items.csv"), "id", (Categorical("brand"),))
    experiment = Experiment(
        name="bought",
        data=Data(
            name="bought",
            path=str(folder / "events.csv"),
            columns=Columns("user", "item", "time"),
            format=Csv(),
            features=(
                Label("bought"),
                Label("stars"),
                Numeric("price", scale="log_standard", missing=-1.0),
                Quantiles("level", column="price", buckets=4),
                Categorical("tags", many=True),
                Text("words", max_tokens=3),
                Hashed("shop", buckets=5),
                Cyclical("hour", column="time", period="day"),
            ),
            tables=(brand,),
            examples=RowExamples(),
            min_user_events=1,
            min_item_events=1,
        ),
        model=Dcn(objectives=(Binary("bought"), Regression("stars")), layers=1, width=4),
        optimizer=AdamW(learning_rate=1e-2, warmup_steps=2),
        trainer=Trainer(
            steps=10, batch_size=32, evaluate_every=10, checkpoint_every=10, shuffle_window_blocks=2
        ),
        evaluation=Evaluation(batch_size=64, bootstrap=10),
        export=Export(batch_buckets=(8,)),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "in_fresh_process", verify.verify)
        result = podway.run(experiment, folder / "w")
    return result, [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def asked(rows: list[dict[str, str]]) -> list[dict]:
    """As a program has them: numbers as numbers, times as whole seconds, None where missing."""
    return [
        {
            "user": row["user"],
            "item": row["item"],
            "time": int(row["time"]),
            "price": float(row["price"]) if row["price"] else None,
            "tags": row["tags"].split("|") if row["tags"] else None,
            "words": row["words"],
            "shop": int(row["shop"]) if row["shop"] else None,
        }
        for row in rows
    ]


STRANGE = [
    dict.fromkeys(["user", "item", "time", "price", "tags", "words", "shop"]),
    {
        **{"user": "nobody", "item": "nothing", "time": 0, "price": float("nan"), "tags": []},
        **{"words": "ünknown\n words 🎬 the", "shop": "no such"},
    },
]


def test_a_run_and_what_is_published_of_it_answer_alike(made):
    result, rows = made
    run, published = podway.load(result.run), result.loaded
    assert published.place.kind == "model"
    assert sorted(run.inputs) == sorted(published.inputs) == sorted(asked(rows[:1])[0])
    questions = [*asked(rows), *STRANGE]
    one, other = run.predict(questions), published.predict(questions)
    assert list(one) == list(other) == ["bought", "stars"]
    for label in one:
        assert one[label].shape == (len(questions),)
        np.testing.assert_allclose(one[label], other[label], rtol=1e-5, atol=1e-6)
    assert len({*one["bought"].round(4)}) > 50


def test_answers_are_those_that_the_evaluation_judged(made):
    """The test split's rows, read from the dataset, and as raw rows."""
    result, rows = made
    experiment, _, parameters = runs.load(result.run)
    dataset = Dataset.open(result.dataset)
    judged = evaluator_of(experiment.model, experiment.evaluation)
    compute = evaluator.answers(judged, dataset.schema, parameters)
    lengths = judged.lengths(dataset.schema)  # pyright: ignore[reportAttributeAccessIssue]
    logits, times = [], []
    for batch in row_batches(dataset, "test", {**lengths, "time": 1}, 64):
        logits.append(np.asarray(compute(batch.columns)["bought"])[batch.valid])
        times.append(batch.columns["time"][batch.valid])
    raw = {int(row["time"]): row for row in rows}
    chosen = [raw[int(time) // 1_000_000] for time in np.concatenate(times)]
    assert len(chosen) > 15
    expected = 1 / (1 + np.exp(-np.concatenate(logits)))
    found = result.loaded.predict(asked(chosen))["bought"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_tables_of_every_kind_are_taken(made):
    result, rows = made
    model, questions = podway.load(result.run), asked(rows[:9])
    expected = model.predict(questions)
    columns = {name: [row[name] for row in questions] for name in questions[0]}
    joined = [row | {"tags": "|".join(row["tags"] or ())} for row in questions]
    dates = [
        row | {"time": datetime.datetime.fromtimestamp(row["time"], datetime.UTC)}
        for row in questions
    ]
    for table in (
        columns,
        joined,
        dates,
        columns | {"another": ["x"] * 9},
        pa.Table.from_pylist(questions),
        pl.DataFrame(questions),
        pd.DataFrame(joined),
    ):
        for label, answer in model.predict(table).items():
            np.testing.assert_allclose(answer, expected[label], rtol=1e-6)
    nobody: dict = {name: [] for name in columns}
    assert model.predict(nobody)["stars"].shape == (0,)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"user": "u1"}], "the rows lack 'item', 'price', .* they have 'user': give None"),
        ("x", "as a list of dicts, .* not as str"),
        ({"user": "u1"}, "the column 'user' is 'u1'; give a list of dicts, or a dict of lists"),
        ([{"price": "dear"}], "row 0: price is 'dear'; give a number or None"),
        ([{"time": 1.5}], r"row 0: time is 1\.5; give whole seconds since 1970"),
        ([{"time": 1_600_000_000_000}], "row 0: time is 1600000000000; give whole seconds"),
        ([{"words": ["a"]}], "row 0: words is .*; give one value, not a list"),
        ([{"shop": b"x"}], "row 0: shop is b'x'; give text, a number or None"),
        ([{}, {"tags": [object()]}], "row 1: tags is .*; give text, a number or None"),
    ],
)
def test_rows_that_cannot_be_read_are_one_clear_sentence(made, rows, message):
    result, known = made
    if isinstance(rows, list) and "user" not in rows[0]:
        rows = [asked(known[:1])[0] | row for row in rows]
    for model in (result.loaded, podway.load(result.run)):
        with pytest.raises(podway.RequestError, match=message):
            model.predict(rows)


def test_no_items_are_recommended(made):
    with pytest.raises(podway.RequestError, match="predicts labels of rows, and no items"):
        made[0].loaded.recommend([["i1"]])
    with pytest.raises(podway.RequestError, match="predicts labels of rows, and no items"):
        _ = podway.load(made[0].run).items
    assert dataclasses.replace(made[0], model=None).loaded.place.kind == "run"
