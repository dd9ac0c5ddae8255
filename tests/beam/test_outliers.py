"""One user with many events, one endless text: what they cost, and that nothing else changes."""

import random
import time
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

from podway.beam import overview
from podway.beam.features import text
from podway.beam.formats import csv
from podway.beam.steps import split
from podway.framework import artifact
from podway.framework.config import Columns, RandomSplit, RowExamples
from podway.framework.config.features import Bytes, CharacterNgrams, Label, Numeric, Text, Words
from podway.framework.error import ConfigError
from tests.beam.conftest import by_user, make_data, report_of, some_events, write_csv
from tests.beam.extending import Workplace, same


def kept_by_hand(events: list[tuple], most: int, *, drop: bool) -> dict[str, list[tuple]]:
    """User → the latest events, by time; the items of a time are in the order of fingerprints."""
    from podway.beam.features.fingerprint import fingerprints

    found: dict[str, list[tuple]] = {}
    for user, item, at in events:
        found.setdefault(user, []).append((at, int(fingerprints(pa.array([item]))[0]), item))
    for user, rows in found.items():
        rows = sorted(set(rows) if drop else rows)
        found[user] = rows[-most:]
    return found


@pytest.mark.parametrize("duplicates", ["keep", "drop"])
@pytest.mark.parametrize("block", [300, 1 << 20])
def test_the_latest_events_are_kept(tmp_path, build, duplicates, block, monkeypatch):
    monkeypatch.setattr(csv, "BLOCK_BYTES", block)
    events = some_events(600, users=7)
    path = write_csv(tmp_path / "a.csv", events)
    directory = build(path, max_user_events=20, duplicates=duplicates)
    expected = kept_by_hand(events, 20, drop=duplicates == "drop")
    histories = by_user(directory, "test")
    for user, rows in expected.items():
        assert histories[user] == ("".join(item for *_, item in rows[:-1]), rows[-1][2])
    report = report_of(directory)
    assert report["kept"] == 7 * 20
    assert sum(report["filtered"].values()) == 600 - 7 * 20
    assert report["filtered"]["max_user_events"] > 0
    said = overview.report(artifact.read(directory, "dataset"))
    assert "by max_user_events" in said


def test_an_extension_keeps_the_latest_too(tmp_path):
    place = Workplace(tmp_path, max_user_events=6, shards=3)
    generator = random.Random(0)
    for file in range(3):
        events = [
            (f"u{generator.randrange(5)}", f"i{generator.randrange(9)}", 100 * file + at)
            for at in range(40)
        ]
        place.add(f"{file}.csv", events)
        directory = place.extend() if file else place.build()
    same(directory, place.rebuild())


def test_without_users_there_are_none_of_whom_to_keep():
    with pytest.raises(ConfigError, match=r"max_user_events is set and data.columns\.user is"):
        make_data(
            "a.csv",
            columns=Columns(user=None),
            max_user_events=3,
            examples=RowExamples(),
            split=RandomSplit(),
            features=(Label("y"), Numeric("x")),
        )
    with pytest.raises(ConfigError, match=r"data\.max_user_events is 0; give 1 or more, or None"):
        make_data("a.csv", max_user_events=0)


def test_a_long_history_is_told(tmp_path, build, monkeypatch):
    monkeypatch.setattr(overview, "LONG", 50)
    directory = build(write_csv(tmp_path / "a.csv", [("u", f"i{at % 9}", at) for at in range(99)]))
    said = overview.report(artifact.read(directory, "dataset"))
    assert "98  events of the longest history, which evaluation and serving read; data.max" in said


def test_of_some_events_what_is_none_of_the_latest_is_dropped():
    user = pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 0, 0, 1, 0], pa.int32()), pa.array([3, 9], pa.uint64())
    )
    item = pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 1, 0, 0, 1], pa.int32()), pa.array([4, 8], pa.uint64())
    )
    table = pa.table({"user": user, "item": item, "time": [5, 1, 5, 2, 2, 5]})
    found, dropped = split.latest_of_some(table, 2, "keep")
    assert found["time"].to_pylist() == [1, 5, 2, 5]
    assert dropped == {"duplicate": 0, "max_user_events": 2}
    found, dropped = split.latest_of_some(table, 2, "drop")
    assert found["time"].to_pylist() == [5, 1, 5, 2]
    assert dropped == {"duplicate": 1, "max_user_events": 1}
    assert split.latest_of_some(table, 4, "drop") == (table, {})


WORDS = ["a", "Bc", "ü", "  ", "-", "1", "ab" * 40, "日本", "\n", ". "]
TOKENIZERS = [
    Words(),
    Words(lowercase=False),
    CharacterNgrams(2),
    CharacterNgrams(3),
    CharacterNgrams(5),
]


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=str)
@pytest.mark.parametrize("most", [1, 3, 7])
def test_the_first_tokens_are_those_of_the_whole_text(tokenizer, most, monkeypatch):
    generator = random.Random(most)
    texts = pa.array(
        [
            None
            if generator.random() < 0.1
            else "".join(generator.choices(WORDS, k=generator.choice([0, 1, 5, 30, 300])))
            for _ in range(60)
        ]
    )
    monkeypatch.setattr(text, "HEAD", 1 << 20)
    whole = text.tokens(texts, tokenizer, 1 << 20)
    monkeypatch.setattr(text, "HEAD", 1)
    found = text.tokens(texts, tokenizer, most)
    ends = np.cumsum(whole.lengths)
    expected = [
        whole.values[end - length : end].to_pylist()[:most]
        for end, length in zip(ends.tolist(), whole.lengths.tolist(), strict=True)
    ]
    starts = np.cumsum(found.lengths) - found.lengths
    assert [
        found.values[start : start + length].to_pylist()
        for start, length in zip(starts.tolist(), found.lengths.tolist(), strict=True)
    ] == expected


WORDS, WORD = "word " * 2_000_000, "w" * 10_000_000


@pytest.mark.parametrize(
    ("transform", "endless"),
    [
        (Text("t"), WORDS),  # one word without an end is a token: it costs its whole
        *((Text("t", tokenizer=CharacterNgrams()), each) for each in (WORDS, WORD)),
        *((Text("t", tokenizer=Bytes()), each) for each in (WORDS, WORD)),
    ],
    ids=["words", "ngrams of words", "ngrams of a word", "bytes of words", "bytes of a word"],
)
def test_an_endless_text_costs_its_first_tokens(transform, endless):
    texts = pa.array(["some words", endless, None])
    text.tokens(texts[:1], Words(), 1)  # what is made once, for all texts
    tracemalloc.start()
    began = time.perf_counter()
    if isinstance(transform.tokenizer, Bytes):
        lengths, _ = text.byte_ids(texts, transform.max_tokens)
    else:
        lengths = text.tokens(texts, transform.tokenizer, transform.max_tokens).lengths
    seconds, (_, peak) = time.perf_counter() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert lengths[1] == transform.max_tokens
    assert peak < 3_000_000, "bytes, of a text of 10 MB"
    assert seconds < 2
