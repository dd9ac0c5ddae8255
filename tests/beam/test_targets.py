"""Event weights and data.targets, from raw files to shards."""

import pathlib

import pytest

from podway.beam import overview
from podway.beam.statistics import statistics
from podway.framework import artifact
from podway.framework.config import (
    AtLeast,
    Columns,
    GlobalTime,
    LeaveOneOut,
    OneOf,
    RowExamples,
)
from podway.framework.config.features import Categorical
from podway.framework.error import ConfigError
from podway.framework.schema.schema import Schema
from tests.beam.conftest import by_user, letters_of, make_data, report_of, rows_of
from tests.beam.extending import Workplace, same

# By hand: v is a view, b a purchase.
SHOP = [
    ("u", "a", 1, "v"), ("u", "a", 2, "b"), ("u", "b", 3, "b"), ("u", "c", 4, "v"),
    ("u", "d", 5, "b"), ("u", "a", 6, "v"),
    ("w", "a", 1, "b"), ("w", "b", 2, "v"), ("w", "c", 9, "b"),
]  # fmt: skip


def write_shop(path: pathlib.Path, rows: list[tuple] = SHOP) -> pathlib.Path:
    lines = ["user,item,time,event", *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


TARGETS = (OneOf("event", ("b",)),)


def test_targets_by_hand(tmp_path, build):
    path = write_shop(tmp_path / "a.csv")
    directory = build(path, targets=TARGETS, features=(Categorical("event"),))
    assert by_user(directory, "train") == {"u": "aa", "w": "abc"}
    assert by_user(directory, "validation") == {"u": ("aa", "b")}
    assert by_user(directory, "test") == {"u": ("aabc", "")}  # nobody trains with d
    rows = {row["user"]: row["event_weight"] for row in rows_of(directory, "train")}
    assert rows == {"u": [0.0, 1.0], "w": [1.0, 0.0, 1.0]}
    feature = Schema.read(directory / "schema.json")["event_weight"]
    assert (feature.role, feature.dtype, feature.ragged) == ("weight", "float32", True)
    report = report_of(directory)
    assert (report["kept"], report["context_events"], report["seen_test_targets"]) == (9, 4, 0)
    said = overview.report(artifact.read(directory, "dataset"))
    assert "4  events are history only (data.targets, or of weight 0)" in said
    assert "evaluation.exclude_seen" not in said
    found = statistics.read(directory / "statistics.json")["train"]["event_weight"]
    assert (found["min"], found["max"], found["count"]) == (0.0, 1.0, 5)


def test_targets_that_were_seen_before_are_told(tmp_path, build):
    rows = [("u", item, at, kind) for at, (item, kind) in enumerate(zip("abcabc", "vvvbbb"))]  # noqa: B905
    directory = build(write_shop(tmp_path / "a.csv", rows), targets=TARGETS)
    assert by_user(directory, "test") == {"u": ("abcab", "c")}
    assert report_of(directory)["seen_test_targets"] == 1
    said = overview.report(artifact.read(directory, "dataset"))
    assert "100.00%  of the test targets are in their own history; evaluation.exclude_seen" in said


def test_a_global_split_takes_the_first_target(tmp_path, build):
    rows = [*SHOP, ("u", "b", 8, "v"), ("u", "a", 9, "b"), ("x", "a", 1, "b"), ("x", "b", 2, "b")]
    directory = build(
        write_shop(tmp_path / "a.csv", rows), targets=TARGETS, split=GlobalTime(0.5, 0.7)
    )
    # 13 events; number 6 (.5) is at 3, number 9 (.7) at 6. Nobody trains with c and d.
    assert by_user(directory, "validation") == {"u": ("aa", "b")}
    assert by_user(directory, "test") == {"u": ("aabab", "a"), "w": ("ab", "")}


def test_weights_are_read_and_checked(tmp_path, build):
    path = tmp_path / "a.csv"
    lines = ["user,item,time,gain", "u,a,1,0.5", "u,b,2,0", "u,c,3,2", "u,d,4,1", "u,e,5,3"]
    path.write_text("\n".join([*lines, "u,a,6,-1", "u,a,7,", "u,a,8,much"]) + "\n")
    directory = build(path, columns=Columns(weight="gain"), max_rejected=0.5)
    (row,) = rows_of(directory, "train")
    assert (row["item"], row["event_weight"]) == (["a", "b", "c"], [0.5, 0.0, 2.0])
    assert [letter["reason"] for letter in letters_of(directory)] == [
        "event_weight is below 0",
        "missing event_weight",
        "event_weight is not a number",
    ]
    both = build(
        path, columns=Columns(weight="gain"), targets=(AtLeast("gain", 1),), max_rejected=1
    )
    (row,) = rows_of(both, "train")
    assert row["event_weight"] == [0.0, 0.0, 2.0]


def test_rows_have_weights_and_no_targets(tmp_path, build):
    path = tmp_path / "a.csv"
    lines = ["user,item,time,gain", *(f"u{at % 3},i{at % 4},{at},{at % 5}" for at in range(30))]
    path.write_text("\n".join(lines) + "\n")
    directory = build(path, columns=Columns(weight="gain"), examples=RowExamples())
    counts = {
        split: part["examples"]
        for split, part in artifact.read(directory, "dataset").details["splits"].items()
    }
    assert counts == {"train": 24, "validation": 3, "test": 3}  # those of weight 0 are rows, too
    assert not Schema.read(directory / "schema.json")["event_weight"].ragged
    with pytest.raises(ConfigError, match=r"whose rows have no history: name them in data\.where"):
        make_data(path, examples=RowExamples(), targets=TARGETS)


@pytest.mark.parametrize("rule", [LeaveOneOut(), GlobalTime(0.5, 0.7)])
def test_an_extension_has_the_targets_of_a_rebuild(tmp_path, rule):
    place = Workplace(tmp_path, targets=(AtLeast("time", 3),), split=rule, shards=3)
    place.add("1.csv", [(f"u{at % 5}", f"i{at % 4}", at // 5) for at in range(60)])
    place.build()
    place.add("2.csv", [("u1", f"i{at}", 3 + at) for at in range(4)])
    extended = place.extend()
    if isinstance(rule, LeaveOneOut):
        same(extended, place.rebuild())
    assert report_of(extended)["context_events"] == 15
