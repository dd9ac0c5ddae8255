"""Requests to a model of rows: columns against the dataset's features."""

import csv
import random

import pytest

from podway.beam import dataset
from podway.beam.check import described
from podway.export.server import pseudonym
from podway.framework.config import Columns, Data, GlobalTime, RowExamples
from podway.framework.config.features import Categorical, Label, Numeric
from podway.framework.config.limits import Limits
from podway.launch.monitor import live
from podway.launch.monitor.live import Reference
from podway.launch.monitor.requests import Request

WHO = ("ads", "1")
FEW = Limits(rows=100)
KEY = b"0123456789abcdef"
TAGS = "tags"


def drawn(count: int, seed: int, price: float = 10.0) -> list[dict]:
    draw = random.Random(seed)
    return [
        {
            "site": draw.choice(["a", "a", "a", "b", "c"]),
            "price": draw.gauss(price, 2.0),
            TAGS: "|".join(draw.sample(["x", "y", "z"], draw.randrange(1, 3))),
        }
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Reference:
    folder = tmp_path_factory.mktemp("rows")
    with (folder / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "item", "time", "site", "price", TAGS, "clicked"])
        for at, row in enumerate(drawn(2000, 1)):
            writer.writerow(
                [f"u{at % 50}", f"i{at % 20}", 1_600_000_000 + at, *row.values(), at % 2]
            )
    data = Data(
        name="ads",
        path=str(folder / "rows.csv"),
        columns=Columns(),
        examples=RowExamples(),
        split=GlobalTime(),
        min_user_events=1,
        min_item_events=1,
        features=(
            Categorical("site"),
            Numeric("price"),
            Categorical(TAGS, many=True),
            Label("clicked"),
        ),
    )
    return Reference(described.read(dataset.build(data, folder / "w")))


def request(rows: list[dict], *, nested: bool = False, hashed: frozenset[str] = frozenset()):
    inputs = {name: [row[name] for row in rows] for name in rows[0]}
    if nested:  # as features of tf.Examples are logged
        inputs = {name: [[value] for value in values] for name, values in inputs.items()}
    return Request(1e9, 1, "serving_default", inputs, {}, hashed)


def told(known: Reference, *found: Request, limits: Limits = FEW) -> dict:
    return {
        (each.metric.name, *each.values[2:]): each.value
        for each in live.of_version(WHO, found, known, limits)
    }


@pytest.mark.parametrize("nested", [False, True])
def test_rows_like_the_training_data_have_not_drifted(reference, nested):
    found = told(reference, request(drawn(600, 2), nested=nested))
    assert found["podway_live_rows",] == 600
    for feature in ("site", "price", TAGS):
        assert found["podway_live_drift", feature] == 0, feature
    assert found["podway_live_unknown_share", "site"] == 0
    assert found["podway_live_unknown_share", TAGS] == 0


def test_another_unit_is_drift_of_that_column_alone(reference):
    found = told(reference, request(drawn(600, 2, price=1000.0)))
    assert found["podway_live_drift", "price"] == 2
    assert found["podway_live_drift", "site"] == 0


def test_another_spelling_is_unknown(reference):
    rows = [{**row, "site": row["site"].upper()} for row in drawn(600, 2)]
    found = told(reference, request(rows))
    assert found["podway_live_unknown_share", "site"] == 1
    assert found["podway_live_drift", "site"] == 2


def test_few_rows_have_no_verdict(reference):
    found = told(reference, request(drawn(99, 2, price=1000.0)))
    assert found["podway_live_unjudged_features",] == 3
    assert ("podway_live_drift", "price") not in found


def test_hashed_columns_need_the_key(reference):
    rows = [{**row, "site": pseudonym.of(row["site"].encode(), KEY)} for row in drawn(600, 2)]
    asked = request(rows, hashed=frozenset({"site"}))
    without = told(reference, asked)
    assert ("podway_live_drift", "site") not in without
    assert without["podway_live_drift", "price"] == 0
    found = told(Reference(reference.dataset, KEY), asked)
    assert found["podway_live_drift", "site"] == 0
