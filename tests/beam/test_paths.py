"""What paths name, against a walk over all files; and what the names of folders say."""

import itertools
import json
import os
import pathlib
import random
import re

import polars as pl
import pytest

from podway.beam import overview, paths
from podway.beam.error import DataError
from podway.framework import artifact
from podway.framework.config import (
    AtLeast,
    Columns,
    Csv,
    JsonLines,
    OneOf,
    Parquet,
    SideTable,
)
from podway.framework.config.features import Categorical
from tests.beam.conftest import by_user, letters_of, report_of, write_csv
from tests.gcs import Store

NAMES = ["a", "b", "ab", "a.csv", "b.csv", "c.txt", "d=1", ".hidden", "_SUCCESS", "ü.csv"]
PARTS = ["*", "**", "a", "{a,b}", "?", "[ab]*", "*.csv", "{a,b*}.csv", ".*", "d=*", "{a,{b,c}}.csv"]


def some_tree(folder: pathlib.Path, generator: random.Random, depth: int = 3) -> None:
    for name in generator.sample(NAMES, 6):
        if depth and generator.random() < 0.4:
            (folder / name).mkdir()
            some_tree(folder / name, generator, depth - 1)
        else:
            (folder / name).write_text("x")


def slowly(root: pathlib.Path, pattern: str) -> list[str]:
    """All files below a folder whose relative names a regular expression matches."""
    found: list[str] = []
    for one in paths.braces(pattern):
        expression = re.compile("".join(_expression(one.split("/"))))
        matched = [
            name
            for folder, _, files in os.walk(root)
            for file in files
            if expression.fullmatch(name := os.path.relpath(os.path.join(folder, file), root))
            and file != "_SUCCESS"
        ]
        found += sorted(name for name in matched if name not in found)
    return found


def _expression(parts: list[str]):
    for at, part in enumerate(parts):
        last = at == len(parts) - 1
        if part == "**":
            yield r"(?:[^/._][^/]*/)*" + (r"[^/.][^/]*" if last else "")
            continue
        hidden = "" if part.startswith(".") else r"(?!\.)"
        text = re.escape(part).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
        yield hidden + text.replace(r"\[ab\]", "[ab]") + ("" if last else "/")


@pytest.mark.parametrize("seed", range(25))
def test_patterns_match_what_a_walk_finds(tmp_path, seed, monkeypatch):
    generator = random.Random(seed)
    some_tree(tmp_path, generator)
    for _ in range(20):
        parts = generator.choices(PARTS, k=generator.choice([1, 2, 3]))
        if not any(letter in "".join(parts) for letter in "*?["):
            continue
        pattern = "/".join(parts)
        expected = slowly(tmp_path, pattern)
        found = paths.find(str(tmp_path / pattern), Csv())
        files = [os.path.relpath(file, tmp_path) for file in found]
        if expected:  # else folders that match may stand for their files
            assert [file for file in files if file in expected] == expected, pattern
    monkeypatch.chdir(tmp_path)
    assert paths.find("*.csv", Csv()) == [
        os.path.relpath(file, tmp_path) for file in paths.find(str(tmp_path / "*.csv"), Csv())
    ]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a", ["a"]),
        ("{a,b}c", ["ac", "bc"]),
        ("x{a,b}{1,2}", ["xa1", "xa2", "xb1", "xb2"]),
        ("{a,{b,c}d}", ["a", "bd", "cd"]),
        ("{a}", ["{a}"]),
        ("{,x}.csv", [".csv", "x.csv"]),
        ("{a,b", ["{a,b"]),
    ],
)
def test_braces_are_a_shells(pattern, expected):
    assert paths.braces(pattern) == expected


def test_a_file_is_what_it_is_called(tmp_path):
    for name in ("{a,b}.csv", "[x].csv", "*.csv"):
        (tmp_path / name).write_text("x")
        assert paths.find(str(tmp_path / name), Csv()) == [str(tmp_path / name)]


def test_a_folder_is_all_its_files_of_the_format(tmp_path):
    for name in ("b.csv", "a.CSV.GZ", "x/y/c.tsv", "x/_temporary/d.csv", ".ipynb/e.csv", "n.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    for marker in ("_SUCCESS", "x/._SUCCESS.crc", "x/.c.csv.crc"):
        (tmp_path / marker).write_text("")
    for path in (str(tmp_path), f"{tmp_path}/"):
        found = [os.path.relpath(file, tmp_path) for file in paths.find(path, Csv())]
        assert found == ["a.CSV.GZ", "b.csv", "x/y/c.tsv"]
    assert [os.path.basename(p) for p in paths.left_out(str(tmp_path), Csv())] == ["n.md"]
    assert paths.find(str(tmp_path), Parquet()) == []
    (tmp_path / "_delta_log").mkdir()
    with pytest.raises(DataError, match="is a table of Delta Lake, whose files alone"):
        paths.find(str(tmp_path), Parquet())


def test_a_pattern_of_folders_is_their_files(tmp_path):
    for name in ("d=1/a.csv", "d=1/e=x/b.csv", "d=2/a.csv", "d=2/n.md", "e/c.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    found = paths.find(f"{tmp_path}/d=*", Csv())
    assert [os.path.relpath(p, tmp_path) for p in found] == [
        "d=1/a.csv",
        "d=1/e=x/b.csv",
        "d=2/a.csv",
    ]


def test_folders_hold_values():
    assert paths.partitions("/data/day=2024-01-31/shop=a%2Fb%20c/x=1.csv") == {
        "day": "2024-01-31",
        "shop": "a/b c",
    }
    assert paths.partitions("day=__HIVE_DEFAULT_PARTITION__/=x/a.csv") == {"day": None}
    assert paths.name_of("/data/day=1/x/a.csv") == "day=1/a.csv"


DAYS = ("2024-01-01", "2024-01-02", "2024-01-03")
ROWS = {
    day: [(f"u{at % 3}", f"i{(at + number) % 4}", at) for at in range(8)]
    for number, day in enumerate(DAYS)
}


def _partitioned(folder: pathlib.Path, kind: str) -> Csv | Parquet | JsonLines:
    """Three days, one with a folder for each shop."""
    for number, (day, rows) in enumerate(ROWS.items()):
        frame = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
        frame = frame.with_columns(time=pl.col("time") + 100 * number)
        place = folder / f"day={day}" / ("shop=old%20town" if number == 1 else "shop=mall")
        place.mkdir(parents=True)
        if kind == "csv":
            frame.write_csv(place / "part-0.csv")
        elif kind == "parquet":
            frame.write_parquet(place / "part-0.parquet")
        else:
            lines = [json.dumps(row) for row in frame.to_dicts()]
            (place / "part-0.json").write_text("\n".join(lines) + "\n")
    return {"csv": Csv(), "parquet": Parquet(), "json": JsonLines()}[kind]


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_partitions_are_columns(tmp_path, build, kind):
    format = _partitioned(tmp_path / "raw", kind)
    features = (Categorical("day"), Categorical("place", column="shop"))
    directory = build(tmp_path / "raw", format=format, features=features)
    words = {
        name: (directory / "vocabulary" / f"{name}.jsonl").read_text() for name in ("day", "place")
    }
    assert "2024-01-02" in words["day"]
    assert "old town" in words["place"]
    assert (report_of(directory)["kept"], report_of(directory)["rejected"]) == (24, {})
    chosen = build(
        tmp_path / "raw",
        format=format,
        where=(AtLeast("time", 0), OneOf("day", DAYS[1:]), OneOf("shop", ("mall",))),
    )
    assert report_of(chosen)["kept"] == 8
    by_day = build(tmp_path / "raw", format=format, columns=Columns(user="day"))
    assert set(by_user(by_day, "train")) == set(DAYS)


def test_files_of_one_content_in_two_folders_are_two(tmp_path, build):
    names = []
    for day in ("a", "b"):
        (tmp_path / f"day={day}").mkdir()
        write_csv(tmp_path / f"day={day}" / "part.csv", [("u", f"i{at}", at) for at in range(5)])
        directory = build(tmp_path / "day=*" / "*.csv", features=(Categorical("day"),))
        names.append(directory.name)
    (tmp_path / "day=b").rename(tmp_path / "day=c")
    names.append(build(tmp_path / "day=*", features=(Categorical("day"),)).name)
    assert len(set(names)) == 3
    assert report_of(directory)["kept"] == 10


def test_a_column_in_the_file_counts_before_the_folders(tmp_path, build):
    folder = tmp_path / "user=nobody"
    folder.mkdir()
    directory = build(write_csv(folder / "a.csv", [("u", f"i{at}", at) for at in range(5)]))
    assert set(by_user(directory, "train")) == {"u"}
    with pytest.raises(DataError, match=r"has no column 'shop'; .* one of \[.*'time', 'user'\]"):
        build(folder, features=(Categorical("shop"),))


def test_a_missing_value_of_a_folder_is_missing(tmp_path, build):
    for value in (paths.NULL, "monday"):
        (tmp_path / f"day={value}").mkdir()
        write_csv(tmp_path / f"day={value}" / "a.csv", [("u", f"i{at}", at) for at in range(5)])
    directory = build(tmp_path / "day=*", columns=Columns(user="day"), max_rejected=0.5)
    assert set(by_user(directory, "train")) == {"monday"}
    assert {row["reason"] for row in letters_of(directory)} == {"missing user"}


def test_side_tables_are_folders_too(tmp_path, build):
    events = write_csv(tmp_path / "a.csv", [("u", f"i{at}", at) for at in range(9)])
    for language in ("de", "en"):
        folder = tmp_path / "items" / f"language={language}"
        folder.mkdir(parents=True)
        (folder / "part.csv").write_text("item\n" + "".join(f"i{at}\n" for at in range(4)))
    table = SideTable(
        "item",
        str(tmp_path / "items"),
        "item",
        (Categorical("language"),),
        where=(OneOf("language", ("en",)),),
    )
    directory = build(events, tables=(table,))
    assert "  filtered" in overview.report(artifact.read(directory, "dataset"))
    words = (directory / "vocabulary" / "language.jsonl").read_text()
    assert ("en" in words, "de" in words) == (True, False)


LISTED = """
import sys
from podway.beam import paths
from podway.framework.config import Csv
for pattern in sys.argv[1:]:
    print("\\n".join(paths.find(pattern, Csv())), end="\\n--\\n")
"""


def test_a_bucket_is_as_a_folder(beam_store: Store, tmp_path):
    names = ["a.csv", "day=1/b.csv", "day=1/x/c.csv", "day=2/d.csv.gz", "_SUCCESS", ".e.csv"]
    bucket = beam_store.bucket()
    for name in names:
        beam_store.put(f"{bucket}/raw/{name}", b"x")
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name).write_text("x")
    patterns = ["raw", "raw/*.csv", "raw/**/*.csv", "raw/day={2,1}/*", "raw/day=*", "raw/a.csv"]
    patterns += ["raw/nothing/*", "{raw,nothing}/a.csv"]
    done = beam_store.run("-c", LISTED, *(f"{bucket}/{pattern}" for pattern in patterns))
    assert done.returncode == 0, done.stderr
    found = [part.strip("\n").split("\n") for part in done.stdout.split("--\n")[:-1]]
    expected = [paths.find(str(tmp_path / pattern), Csv()) for pattern in patterns]
    assert [[file.replace(bucket, str(tmp_path)) for file in part if file] for part in found] == (
        expected
    )
    assert list(itertools.chain(*expected))
