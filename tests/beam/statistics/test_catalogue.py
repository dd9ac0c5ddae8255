"""A side table as the catalogue: items without training events have ids, attributes and targets."""

import pathlib

import numpy as np
from etils import epath

from podway.beam import dataset
from podway.framework.config import Data, GlobalTime, SideTable
from podway.framework.config.features import Categorical
from podway.framework.input.batches import Dataset
from podway.framework.schema.schema import Vocabulary
from tests.beam.conftest import make_data, rows_of, write_csv

EVENTS = [
    *(("anna", item, time) for time, item in enumerate("abab")),
    *(("ben", item, time) for time, item in enumerate("bcba")),
    ("anna", "late", 100),
    ("anna", "a", 101),
    ("ben", "later", 200),
    ("ben", "b", 201),
]


def _data(tmp_path: pathlib.Path, catalogue: bool = True, **fields) -> Data:
    write_csv(tmp_path / "events.csv", EVENTS)
    rows = ["a,drama", "late,comedy", "b,drama", "never,comedy", "never,horror", "later,drama"]
    table = tmp_path / "items.csv"
    table.write_text("\n".join(["id,genre", *rows]) + "\n")
    features = (Categorical("genre"),)
    side = SideTable("item", str(table), "id", features, catalogue=catalogue)
    fields = {"split": GlobalTime(8 / 12, 10 / 12), "tables": (side,)} | fields
    return make_data(tmp_path / "events*.csv", **fields)


def _words(directory: epath.Path) -> dict[str, int]:
    words = Vocabulary.read(directory / "vocabulary" / "item.jsonl")
    return dict(zip(words.values[2:], words.counts[2:], strict=True))


def test_items_without_events_follow_those_of_the_train_split(tmp_path):
    found = dataset.build(_data(tmp_path), tmp_path / "w")
    words = _words(found)
    assert words == {"a": 3, "b": 4, "c": 1, "late": 0, "later": 0, "never": 0}
    assert list(words)[:3] == ["b", "a", "c"]
    assert [row["target"] for row in rows_of(found, "validation")] == ["late"]
    assert [row["target"] for row in rows_of(found, "test")] == ["later"]
    opened = Dataset.open(found)
    assert opened.schema["item"].size == 8
    genre, ids = opened.vocabulary("genre"), opened.vocabulary("item").ids
    values = opened.table("item")["genre"]
    assert isinstance(values, np.ndarray)
    assert {name: genre.values[values[ids[name]]] for name in words} == {
        "a": "drama", "b": "drama", "c": "", "late": "comedy", "later": "drama", "never": "comedy"
    }  # fmt: skip


def test_without_the_catalogue_they_are_out_of_vocabulary(tmp_path):
    found = dataset.build(_data(tmp_path, catalogue=False), tmp_path / "w")
    assert set(_words(found)) == {"a", "b", "c"}
    assert [row["target"] for row in rows_of(found, "test")] == [""]


def test_a_cap_drops_the_items_without_events_first(tmp_path):
    found = dataset.build(_data(tmp_path, max_items=4), tmp_path / "w")
    words = _words(found)
    assert len(words) == 4
    assert list(words)[:3] == ["b", "a", "c"]


def test_an_extension_keeps_their_ids_and_counts_their_events(tmp_path):
    data = _data(tmp_path, split=GlobalTime(0.5, 0.9))
    base = dataset.build(data, tmp_path / "w")
    cut = [row["target"] for row in rows_of(base, "validation")]
    write_csv(tmp_path / "events2.csv", [("carl", "never", 0), ("carl", "new", 1)])
    found, built = dataset.extend(data, tmp_path / "w", "latest")
    assert built
    before, after = _words(base), _words(found)
    assert list(after)[: len(before)] == list(before), "ids stay"
    assert (before["never"], after["never"], after["new"]) == (0, 1, 1)
    assert cut == [row["target"] for row in rows_of(found, "validation")]
