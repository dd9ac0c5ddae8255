"""Columns of side tables that are kept as text, to be shown."""

import datetime
import decimal
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from podway.beam import dataset as beam_dataset
from podway.beam.error import DataError
from podway.framework.config import Parquet, SideTable
from podway.framework.config.features import Text
from podway.framework.error import ConfigError
from podway.framework.input.dataset import Dataset
from podway.framework.schema.schema import SchemaError
from tests.beam.conftest import make_data, some_events, write_csv

ITEMS = [f"i{number}" for number in range(17)]


def table_of(path: pathlib.Path, keep: tuple[str, ...], **options) -> SideTable:
    return SideTable("item", str(path), "id", options.pop("features", ()), keep=keep, **options)


def built(tmp_path: pathlib.Path, *tables: SideTable, **fields) -> Dataset:
    path = write_csv(tmp_path / "events.csv", some_events())
    data = make_data(path, tables=tables, **fields)
    return Dataset.open(beam_dataset.build(data, tmp_path / "w"))


def of_items(dataset: Dataset, name: str) -> dict[str, str]:
    texts = dataset.attributes("item")[name]
    values = dataset.vocabulary("item").values
    assert texts[:2].tolist() == ["", ""]
    assert len(texts) == len(values) == dataset.schema["item"].size
    return dict(zip(values[2:], texts[2:].tolist(), strict=True))


def test_a_title_is_kept_as_it_is_written(tmp_path):
    """As a column that is a feature too, with rows that repeat, that nobody has, and that lack."""
    path = tmp_path / "items.csv"
    lines = ["id,title,maker"]
    lines += [f'{item},"The ""{item}"", größer\n2nd line",m{item}' for item in ITEMS[:-2]]
    lines += ["i3,another,x", "nobody,unseen,x", f"{ITEMS[-2]},,"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = table_of(path, ("title", "maker"), features=(Text("title"),))
    dataset = built(tmp_path, table)
    titles = of_items(dataset, "title")
    expected = {item: f'The "{item}", größer\n2nd line' for item in ITEMS[:-2]}
    assert titles == {**dict.fromkeys(ITEMS, ""), **expected}
    assert of_items(dataset, "maker")["i4"] == "mi4"
    assert set(dataset.table("item")) == {"title"}
    assert dataset.attributes("user") == {}


def test_what_is_no_text_reads_as_it_does_in_features(tmp_path):
    path = tmp_path / "items.parquet"
    count = len(ITEMS)
    columns = {
        "id": ITEMS,
        "year": [1999.0, None] + [2001.0] * (count - 2),
        "price": [decimal.Decimal("1.50")] * count,
        "day": [datetime.date(2024, 1, 31)] * count,
        "tags": [["a", "b"], [], None, ["c"]] + [["d", None]] * (count - 4),
        "sold": [True] * count,
        "kind": pa.array(["book"] * count).dictionary_encode(),
        "none": pa.nulls(count),
    }
    pq.write_table(pa.table(columns), path)
    keep = tuple(name for name in columns if name != "id")
    dataset = built(tmp_path, table_of(path, keep, format=Parquet()))
    first = {name: of_items(dataset, name)["i0"] for name in keep}
    assert first == {
        **{"year": "1999", "price": "1.5", "day": "2024-01-31", "tags": "a|b"},
        **{"sold": "true", "kind": "book", "none": ""},
    }
    tags = of_items(dataset, "tags")
    assert [tags[item] for item in ("i1", "i2", "i3", "i4")] == ["", "", "c", "d|"]
    assert of_items(dataset, "year")["i1"] == ""


def test_tables_without_features_are_kept_and_have_none(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text("id,title\n" + "".join(f"{item},T {item}\n" for item in ITEMS))
    dataset = built(tmp_path, table_of(path, ("title",)))
    assert of_items(dataset, "title")["i5"] == "T i5"
    with pytest.raises(SchemaError, match="has no table of items"):
        dataset.table("item")


def test_items_without_events_have_titles_too(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text("id,title\n" + "".join(f"{item},T {item}\n" for item in [*ITEMS, "new"]))
    dataset = built(tmp_path, table_of(path, ("title",), catalogue=True))
    assert of_items(dataset, "title")["new"] == "T new"


def test_an_extension_keeps_the_titles_as_they_are_then(tmp_path):
    items, events = tmp_path / "items.csv", tmp_path / "events-1.csv"
    items.write_text("id,title\n" + "".join(f"{item},old {item}\n" for item in ITEMS))
    write_csv(events, some_events())
    data = make_data(tmp_path / "events-*.csv", tables=(table_of(items, ("title",)),))
    beam_dataset.build(data, tmp_path / "w")
    items.write_text("id,title\n" + "".join(f"{item},T {item}\n" for item in [*ITEMS, "later"]))
    write_csv(tmp_path / "events-2.csv", [("ü1", "later", at) for at in range(100, 105)])
    extended, fresh = beam_dataset.extend(data, tmp_path / "w", "latest")
    assert fresh
    titles = of_items(Dataset.open(extended), "title")
    assert titles == {item: f"T {item}" for item in [*ITEMS, "later"]}


def test_a_title_that_cannot_be_read_rejects_its_row_with_the_reason(tmp_path):
    path = tmp_path / "items.csv"
    rows = b"".join(f"{item},T {item}\n".encode() for item in ITEMS[1:])
    path.write_bytes(b"id,title\ni0,caf\xe9\n" + rows)
    dataset = built(tmp_path, table_of(path, ("title",)), max_rejected=0.1)
    assert of_items(dataset, "title")["i0"] == ""
    (letters,) = (dataset.directory / "rejected").glob("table-0-*.jsonl")
    assert "invalid UTF-8 in title" in letters.read_text()


def test_what_cannot_be_kept_names_the_column(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text("id,title\ni1,T\n")
    with pytest.raises(DataError, match="no column 'titel'; set what the table's `keep` names to"):
        built(tmp_path, table_of(path, ("titel",)))
    with pytest.raises(ConfigError, match="'title' of items is kept twice; name it in one `keep`"):
        make_data("x", tables=(table_of(path, ("title",)), table_of(path, ("title",))))
    nested = tmp_path / "items.parquet"
    pq.write_table(pa.table({"id": ["i1"], "title": [{"en": "T"}]}), nested)
    with pytest.raises(DataError, match="the column of title holds struct"):
        built(tmp_path, table_of(nested, ("title",), format=Parquet()))
