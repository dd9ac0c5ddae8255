"""A dataset that grows by new raw files, beside one that is built of all of them at once."""

import os

import pytest

from podway.beam import overview, rejected
from podway.beam.statistics import statistics
from podway.beam.steps import extend, number, summarise
from podway.framework import artifact
from podway.framework.artifact import ArtifactError
from podway.framework.config import Columns, Csv, GlobalTime
from podway.framework.input.batches import Dataset, TrainBatches
from podway.framework.schema import schema
from podway.framework.schema.schema import SPLITS
from tests.beam.conftest import by_user, report_of
from tests.beam.extending import (
    BUCKETS,
    HERE,
    THERE,
    USERS,
    Workplace,
    examples,
    same,
    some_events,
    words,
)


def test_old_ids_stay_and_new_ones_follow_by_hand(tmp_path):
    place = Workplace(tmp_path, shards=1)
    place.add("1.csv", [("p", "a", 1), ("p", "b", 2), ("p", "a", 3), ("p", "a", 4), ("p", "a", 5)])
    base = place.build()
    assert (words(base, "item").values, words(base, "user").values) == (
        ("", "", "a", "b"), ("", "", "p")
    )  # fmt: skip
    # Of q's train events c comes three times and d twice, both more often than b.
    place.add("2.csv", [("q", item, at) for at, item in enumerate("cdcdcaa")])
    extended = place.extend()
    items, users = words(extended, "item"), words(extended, "user")
    assert (items.values, items.counts) == (("", "", "a", "b", "c", "d"), (0, 0, 2, 1, 3, 2))
    assert (users.values, users.counts) == (("", "", "p", "q"), (0, 0, 3, 5))
    assert words(place.rebuild(), "item").values[2] == "c"  # it numbers by count alone


def test_what_was_a_target_becomes_history(tmp_path):
    place = Workplace(tmp_path, shards=1)
    place.add("1.csv", [("p", item, at) for at, item in enumerate("abc")])
    assert by_user(place.build(), "test") == {"p": ("a", "")}  # b and c are not in train
    place.add("2.csv", [("p", "d", 9), ("q", "c", 1), ("q", "b", 2)])
    extended = place.extend()
    assert by_user(extended, "train") == {"p": "ab", "q": "cb"}
    assert by_user(extended, "test") == {"p": ("abc", "")}


def test_the_same_examples_as_a_rebuild(tmp_path):
    place = Workplace(tmp_path, shards=BUCKETS)
    place.add("1.csv", some_events(1, USERS))
    place.build()
    for file_number in (2, 3, 4):
        users = [[*HERE, "new"], THERE, USERS][file_number - 2]
        place.add(f"{file_number}.csv", some_events(file_number, users, 20))
        extended = place.extend()
        same(extended, place.rebuild())
    assert len(artifact.read(extended, "dataset").details["raw"]) == 4


def test_statistics_are_those_of_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(summarise, "TOP", 9)
    place = Workplace(tmp_path, shards=BUCKETS)
    place.add("1.csv", some_events(1, USERS))
    place.build()
    place.add("2.csv", some_events(2, HERE, 20))
    extended, whole = (
        statistics.read(directory / "statistics.json")
        for directory in (place.extend(), place.rebuild())
    )
    for split in SPLITS:
        times = {name for name in whole[split] if name in ("time", "target_time")}
        assert times
        for name in times:
            assert extended[split][name] == whole[split][name]
        for name in set(whole[split]) - times:  # ids differ, and so do hashes of them
            for key in ("count", "distinct", "out_of_vocabulary", "occurrences", "lengths"):
                assert extended[split][name].get(key) == whole[split][name].get(key), (name, key)
    assert None not in [value for id, value, _ in extended["train"]["item"]["top"] if id > 1]


def test_untouched_shards_are_referenced_and_not_rewritten(tmp_path):
    place = Workplace(tmp_path, shards=BUCKETS)
    place.add("1.csv", some_events(1, USERS))
    base = place.build()

    def files() -> dict[str, tuple[int, int]]:
        stats = {path: (base / path).stat() for path in artifact.walk(base)}
        return {
            path: (os.stat(base / path).st_ino, round(stat.mtime * 1e6))
            for path, stat in stats.items()
        }

    before = files()
    place.add("2.csv", some_events(2, HERE, 20))
    extended = place.extend()
    assert files() == before
    manifest = artifact.read(extended, "dataset")
    for split in SPLITS:
        assert [shard["path"] for shard in manifest.details["splits"][split]["shards"]] == [
            f"../{base.name}/{split}/part-00000-of-00004.array_record",
            f"{split}/part-00001-of-00004.array_record",
            f"../{base.name}/{split}/part-00002-of-00004.array_record",
            f"../{base.name}/{split}/part-00003-of-00004.array_record",
        ]
    own = {path for path in artifact.walk(extended) if path.split("/")[0] in ("events", *SPLITS)}
    assert own == {f"events/part-00001-of-{4:05}.arrow"} | {
        f"{split}/part-00001-of-00004.array_record" for split in SPLITS
    }
    listed = {file.path for file in manifest.files}
    assert f"../{base.name}/events/part-00000-of-00004.arrow" in listed
    # What training reads of it: each user once an epoch.
    opened = Dataset.open(extended)
    batches = TrainBatches(opened, {"user": 1, "item": 99}, batch_size=4, steps=3, seed=0, window=2)
    seen = [int(user) for at in range(3) for user in batches[at]["user"].flatten()]
    assert sorted(seen) == sorted(opened.vocabulary("user").id(user) for user in USERS)


def test_an_extension_of_an_extension_refers_to_where_a_file_lies(tmp_path):
    place = Workplace(tmp_path, shards=BUCKETS)
    place.add("1.csv", some_events(1, USERS))
    base = place.build()
    place.add("2.csv", some_events(2, HERE, 20))
    first = place.extend(base.name)
    place.add("3.csv", some_events(3, THERE, 20))
    second = place.extend()
    paths = [
        s["path"] for s in artifact.read(second, "dataset").details["splits"]["test"]["shards"]
    ]
    assert [path.split("/")[1] for path in paths if path.startswith("../")] == [
        base.name, first.name, base.name
    ]  # fmt: skip
    listed = [file.path for file in artifact.read(second, "dataset").files]
    assert f"../{base.name}/events/part-00000-of-00004.arrow" in listed
    assert not [path for path in listed if "/../" in path]
    (base / "test" / "part-00000-of-00004.array_record").unlink()
    with pytest.raises(ArtifactError, match=rf"{base.name}/test/part-00000.* is missing"):
        Dataset.open(second)


def test_without_a_column_of_time_new_files_follow_the_old_ones(tmp_path):
    place = Workplace(
        tmp_path, columns=Columns(time=None), format=Csv(header=False, names=("user", "item"))
    )
    (place.raw / "b.csv").write_text("u,a\nu,b\nu,c\nv,c\nv,b\n")
    place.build()
    (place.raw / "a.csv").write_text("u,b\nu,a\n")
    assert by_user(place.extend(), "test")["u"] == ("abcb", "a")
    assert by_user(place.rebuild(), "test")["u"] == ("baab", "c")  # in the order of the names


def test_dropped_duplicates_and_rejected_rows_add_up(tmp_path):
    place = Workplace(tmp_path, duplicates="drop", max_rejected=0.5)
    events = some_events(1, USERS)
    place.add("1.csv", [*events, *events[:3], ("", "i1", 3)])
    base = place.build()
    place.add("2.csv", [*events[5:8], ("u1", "i1", 99), ("u1", "", 3), ("", "i1", 3)])
    extended = place.extend()
    same(extended, place.rebuild())
    assert report_of(extended)["rejected"] == {"missing item": 1, "missing user": 2}
    assert report_of(extended)["filtered"]["duplicate"] >= 6
    new = artifact.read(extended, "dataset").details["since"]
    assert (new["version"], new["rows"]) == (base.name, 6)
    assert new["rejected"] == {"missing item": 1, "missing user": 1}
    shown = rejected.show(extended, samples=5, reason="user")
    assert f"{place.raw}/1.csv, row 204, " in shown
    assert f"{place.raw}/2.csv, row 6, " in shown
    text = overview.report(artifact.read(extended, "dataset"))
    assert f"since                      1  new raw files, beside those of {base.name}" in text


def test_the_cap_judges_new_items_only(tmp_path):
    place = Workplace(tmp_path, shards=1, max_items=3)
    place.add("1.csv", [("p", item, at) for at, item in enumerate("aabcc")])
    assert words(place.build(), "item").values == ("", "", "a", "b")
    place.add("2.csv", [("q", item, at) for at, item in enumerate("dddeefcc")])
    items = words(place.extend(), "item")
    assert (items.values, items.counts) == (("", "", "a", "b", "d"), (0, 3, 2, 1, 3))
    assert words(place.rebuild(), "item").values[2] == "d"


def test_k_core_of_the_whole_reaches_touched_buckets_only(tmp_path):
    place = Workplace(tmp_path, shards=BUCKETS, min_user_events=1, min_item_events=2)
    here, there = HERE[0], THERE[0]
    place.add(
        "1.csv",
        [(user, item, at) for user in (here, there) for at, item in enumerate("abab")]
        + [(there, "x", 9)],
    )
    base = place.build()
    assert report_of(base)["filtered"]["k-core"] == 1
    place.add("2.csv", [(here, "x", 9)])
    extended, whole = place.extend(), place.rebuild()
    # x has two events now. `here` is written anew; `there` remains as it was, without its x.
    assert [len(row["item"]) for row in examples(extended, "test")] == [
        4 if user == here else 3 for user in sorted([here, there])
    ]
    assert {len(row["item"]) for row in examples(whole, "test")} == {4}
    assert report_of(extended)["filtered"]["k-core"] == 1
    assert report_of(whole)["filtered"]["k-core"] == 0
    place.add("3.csv", [(there, "a", 10), (here, "a", 10)])
    same(place.extend(), place.rebuild())


def test_global_time_keeps_its_points(tmp_path):
    place = Workplace(tmp_path, shards=BUCKETS, split=GlobalTime(0.5, 0.75))
    place.add("1.csv", some_events(1, USERS))
    base = place.build()
    cuts = artifact.read(base, "dataset").details["cuts"]
    place.add("2.csv", [*some_events(2, HERE, 20), (HERE[0], "late", 1000)])
    extended = place.extend()
    assert artifact.read(extended, "dataset").details["cuts"] == cuts
    assert report_of(extended)["early_test_targets"] == 0
    validated = examples(extended, "validation")
    assert all(cuts[0] <= row["target_time"] < cuts[1] for row in validated)
    # Were the points moved, these would be other examples.
    assert artifact.read(place.rebuild(), "dataset").details["cuts"] != cuts
    place.add("3.csv", [(HERE[0], "late", -50)])
    assert "late" in words(place.extend(), "item").values[2:]


def test_a_vocabulary_of_several_files(tmp_path, monkeypatch):
    for module in (schema, number, extend):
        monkeypatch.setattr(module, "VOCABULARY_ROWS", 7)
    place = Workplace(tmp_path)
    place.add("1.csv", some_events(1, USERS))
    base = place.build()
    place.add("2.csv", [*some_events(2, HERE, 20), *(("q", f"new{at}", at) for at in range(20))])
    extended = place.extend()
    assert (extended / "vocabulary" / "item.3.jsonl").exists()
    old = words(base, "item").values
    assert words(extended, "item").values[: len(old)] == old
    same(extended, place.rebuild())
