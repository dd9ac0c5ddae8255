"""Extensions of datasets with features and side tables."""

import csv
import pathlib
import random
from typing import Any

import pyarrow as pa
import pytest
from etils import epath

from podway.beam import dataset
from podway.beam.steps import grow
from podway.framework import artifact
from podway.framework.config import GlobalTime, RowExamples, Sequences, SideTable
from podway.framework.config.features import (
    Categorical,
    Cyclical,
    Gap,
    Hashed,
    Label,
    Numeric,
    Quantiles,
    Text,
)
from podway.framework.schema.fitted import FittedTransform, read_transforms, write_transforms
from podway.framework.schema.schema import Schema, Vocabulary
from tests.beam.extending import Workplace, bucket, same, words

DAY = 86_400
USERS = [f"u{at}" for at in range(9)]
FEATURES = (
    Label("price", above=5.0),
    Numeric("logged", column="price", scale="log"),
    Categorical("shop"),
    Categorical("tags", many=True),
    Text("note", max_tokens=3),
    Hashed("hashed", column="shop", buckets=10),
    Cyclical("hour", column="time"),
    Gap("gap"),
)
SCALED = (Numeric("price"), Quantiles("bucket", column="price", buckets=3))


def _events(seed: int, users: list[str], count: int, shops: int) -> list[dict[str, Any]]:
    generator = random.Random(seed)
    return [
        {
            "user": generator.choice(users),
            "item": f"i{generator.randrange(8)}",
            "time": generator.randrange(4 * DAY),
            "price": generator.randrange(1, 10) * seed,
            "shop": f"s{generator.randrange(shops)}",
            "tags": "|".join(f"t{generator.randrange(shops)}" for _ in range(2)),
            "note": f"note {generator.randrange(shops)} of s{generator.randrange(shops)}",
        }
        for _ in range(count)
    ]


def _write(path: pathlib.Path, rows: list[dict[str, Any]]) -> pathlib.Path:
    with path.open("w") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _place(tmp_path: pathlib.Path, **fields: Any) -> Workplace:
    place = Workplace(tmp_path, shards=3, **fields)
    _write(place.raw / "1.csv", _events(1, USERS, 150, 3))
    return place


def _add(place: Workplace) -> list[str]:
    """A file of new shops, by users of one bucket."""
    users = [user for user in USERS if bucket(user, 3) == 1]
    _write(place.raw / "2.csv", _events(2, users, 40, 6))
    return users


@pytest.mark.parametrize("kind", [Sequences(), RowExamples()])
def test_the_same_examples_as_a_rebuild(tmp_path, kind):
    place = _place(tmp_path, features=FEATURES, examples=kind)
    base = place.build()
    _add(place)
    extended = place.extend()
    same(extended, place.rebuild())
    for name in ("shop", "tags", "note", "user", "item"):
        old, new = words(base, name).values, words(extended, name).values
        assert new[: len(old)] == old
        assert set(new[len(old) :]) or name in ("user", "item"), name
    paths = [
        s["path"] for s in artifact.read(extended, "dataset").details["splits"]["train"]["shards"]
    ]
    assert [path.startswith("../") for path in paths] == [True, False, True]


def test_rows_of_a_global_split(tmp_path):
    place = _place(tmp_path, features=FEATURES, examples=RowExamples(), split=GlobalTime(0.6, 0.8))
    base = place.build()
    _add(place)
    extended = place.extend()
    cuts = artifact.read(base, "dataset").details["cuts"]
    splits = artifact.read(extended, "dataset").details["splits"]
    whole = artifact.read(place.rebuild(), "dataset").details["splits"]
    assert sum(part["examples"] for part in splits.values()) == 190
    assert cuts == artifact.read(extended, "dataset").details["cuts"]
    assert sum(part["examples"] for part in whole.values()) == 190
    statistics_of_price = _statistics(extended)["train"]["price"]
    assert statistics_of_price["count"] == splits["train"]["examples"]


def _statistics(directory: epath.Path) -> dict[str, Any]:
    from podway.beam.statistics import statistics

    return statistics.read(directory / "statistics.json")


def _fitted(directory: epath.Path) -> dict[str, FittedTransform]:
    return {one.transform.name: one for one in read_transforms(directory / "transform.json")}


def test_scales_and_boundaries_stay(tmp_path):
    place = _place(tmp_path, features=SCALED)
    base = _fitted(place.build())
    _add(place)
    extended, whole = place.extend(), place.rebuild()
    for name in ("price", "bucket"):
        assert _fitted(extended)[name] == base[name] != _fitted(whole)[name]
    # But the numbers before the transforms are described as they are now.
    assert _statistics(extended)["train"]["price"] == _statistics(whole)["train"]["price"]


def test_side_tables_are_read_again(tmp_path):
    items = [{"id": f"i{at}", "title": f"title {at}", "weight": at} for at in range(5)]
    path = _write(tmp_path / "items.csv", items)
    features = (Text("title"), Numeric("weight"), Categorical("name", column="title"))
    place = _place(tmp_path, tables=(SideTable("item", str(path), "id", features),))
    base = place.build()
    items += [{"id": "i6", "title": "another one", "weight": 100}]
    _write(path, items)
    # Without any new event, there is something new.
    extended = place.extend()
    assert artifact.read(extended, "dataset").details["since"]["files"] == []
    old, new = words(base, "title").values, words(extended, "title").values
    assert set(new[: len(old)]) == set(old)
    assert new[: len(old)] == old
    assert set(new[len(old) :]) == {"another", "one"}
    assert _fitted(extended)["weight"] == _fitted(base)["weight"]
    with pa.OSFile(str(extended / "features" / "item.arrow")) as file:
        rows = pa.ipc.open_file(file).get_batch(0).to_pylist()
    place_of = words(extended, "item").id("i6")
    assert [new[id] for id in rows[place_of]["title"]] == ["another", "one"]
    assert len(rows) == Schema.read(extended / "schema.json")["item"].size
    # And after that, nothing.
    assert dataset.extend(place.data, place.workdir, "latest") == (extended, False)


def _counts(**counts: int) -> pa.Table:
    return pa.table({"value": list(counts), "count": pa.array(counts.values(), pa.int64())})


OLD = Vocabulary(("", "", "b", "a"), (0, 1, 5, 4))


def test_a_vocabulary_grows_at_its_end():
    counts = _counts(a=9, c=2, d=7, e=1)
    grown = grow.extend(OLD, counts, min_count=2, max_values=None)
    assert grown == Vocabulary(("", "", "b", "a", "d", "c"), (0, 1, 0, 9, 7, 2))
    assert grow.extend(OLD, counts, 1, max_values=1).values[4:] == ("d",)
    assert grow.extend(OLD, counts, 1, max_values=0).counts == (0, 10, 0, 9)


@pytest.mark.parametrize(
    ("feature", "size", "grown"),
    [
        (Categorical("f"), 4, ("d",)),
        (Categorical("f", max_values=2), 4, ()),
        (Categorical("f", max_values=3), 4, ("d",)),
        (Categorical("f", min_count=8), 4, ()),
        # Their further ids follow the vocabulary: it cannot grow.
        (Categorical("f", oov_buckets=3), 6, ()),
    ],
)
def test_caps_judge_new_values(tmp_path, feature, size, grown):
    base = epath.Path(tmp_path)
    (base / "vocabulary").mkdir()
    OLD.write(base / "vocabulary" / "f.jsonl")
    fitted = FittedTransform(feature, vocabulary="f", size=size)
    write_transforms(base / "transform.json", (fitted,))
    found, vocabulary = grow.grow(feature, _counts(d=7), base)
    assert vocabulary is not None
    assert vocabulary.values == (*OLD.values, *grown)
    assert found.size == size + len(grown)
