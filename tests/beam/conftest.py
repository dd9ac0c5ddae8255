"""Small raw data, and what came out of it."""

import json
import pathlib
import random
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from array_record.python.array_record_module import ArrayRecordReader
from etils import epath

from podway.beam import dataset
from podway.framework import artifact
from podway.framework.config import Data
from podway.framework.schema.schema import Vocabulary

Event = tuple[str, str, int]


def make_data(path: pathlib.Path | str, **fields: Any) -> Data:
    defaults = {"min_user_events": 1, "min_item_events": 1, "shards": 2}
    return Data(name="small", path=str(path), **{**defaults, **fields})


def write_csv(path: pathlib.Path, events: list[Event]) -> pathlib.Path:
    lines = ["user,item,time", *(f"{user},{item},{time}" for user, item, time in events)]
    path.write_text("\n".join(lines) + "\n")
    return path


def some_events(count: int = 400, users: int = 23, items: int = 17) -> list[Event]:
    """Random events, many of them tied in time, with text that sorts unlike its order of use."""
    generator = random.Random(5)
    return [
        (
            f"ü{generator.randrange(users)}",
            f"i{generator.randrange(items)}",
            generator.randrange(60),
        )
        for _ in range(count)
    ]


def rows_of(directory: epath.Path, split: str) -> list[dict[str, Any]]:
    """All examples of a split, read as the manifest says, with ids turned back into text."""
    manifest = artifact.read(directory, "dataset")
    users, items = (
        Vocabulary.read(directory / "vocabulary" / f"{name}.jsonl").values
        for name in ("user", "item")
    )
    rows = []
    for shard in manifest.details["splits"][split]["shards"]:
        records = ArrayRecordReader(str(directory / shard["path"])).read_all()
        tables = [pa.ipc.open_stream(record).read_all() for record in records]
        assert [len(table) for table in tables] == shard["blocks"]
        for row in pa.concat_tables(tables).to_pylist():
            row["user"] = users[row["user"]]
            row["item"] = [items[item] for item in row["item"]]
            if "target" in row:
                row["target"] = items[row["target"]]
            rows.append(row)
    return rows


def by_user(directory: epath.Path, split: str) -> dict[str, Any]:
    """User → (history, target); for train: user → history."""
    return {
        row["user"]: ("".join(row["item"]), row["target"])
        if "target" in row
        else "".join(row["item"])
        for row in rows_of(directory, split)
    }


def report_of(directory: epath.Path) -> dict[str, Any]:
    return artifact.read(directory, "dataset").details["report"]


def letters_of(directory: epath.Path) -> list[dict[str, Any]]:
    parts = sorted((directory / "rejected").iterdir())
    return [json.loads(line) for part in parts for line in part.read_text().splitlines()]


def no_dataset(workdir: pathlib.Path) -> bool:
    """Whether nothing was left behind, not even in the making, but for rejected rows."""
    left = workdir.glob("datasets/*/*")
    return not [path for path in left if not path.name.startswith("_rejected-")]


@pytest.fixture
def build(tmp_path: pathlib.Path) -> Callable[..., epath.Path]:
    def run(path: pathlib.Path | str, **fields: Any) -> epath.Path:
        return dataset.build(make_data(path, **fields), tmp_path / "w")

    return run
