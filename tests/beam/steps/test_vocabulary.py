import json

import numpy as np
import polars as pl
import pytest
from etils import epath

from podway.beam.steps import vocabulary
from podway.framework.schema import schema
from podway.framework.schema.schema import OUT_OF_VOCABULARY, Vocabulary


def _number(counts: dict[int, int], parts: int, cap: int | None) -> dict[int, int]:
    """Fingerprint → id, of fingerprints that are divided into ranges."""
    keys = sorted(counts)
    ranges = [keys[at * len(keys) // parts : (at + 1) * len(keys) // parts] for at in range(parts)]
    found = [np.array([counts[key] for key in part], np.int64) for part in ranges]
    histograms = [vocabulary.histogram("x", at, part) for at, part in enumerate(found)]
    ids = {}
    for at, part in enumerate(ranges):
        numbered = vocabulary.number(found[at], at, histograms[::-1], cap)
        ids |= dict(zip(part, numbered.tolist(), strict=True))
    return ids


@pytest.mark.parametrize("cap", [None, 7, 1000])
@pytest.mark.parametrize("parts", [1, 2, 5])
def test_ids_follow_falling_count_then_rising_fingerprint(parts, cap):
    generator = np.random.default_rng(0)
    counts = {int(key): int(generator.integers(1, 6)) for key in generator.integers(0, 2**62, 50)}
    ranked = sorted(counts, key=lambda key: (-counts[key], key))
    expected = {key: 2 + at for at, key in enumerate(ranked)}
    if cap is not None:
        expected |= dict.fromkeys(ranked[cap:], OUT_OF_VOCABULARY)
    assert _number(counts, parts, cap) == expected


def test_files_of_a_vocabulary_are_read_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "VOCABULARY_ROWS", 3)
    whole = Vocabulary(("", "", "a", "b\u2028", '"'), (0, 4, 3, 2, 1))
    whole.write(tmp_path / "w.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.1.jsonl", "w.jsonl"]
    assert Vocabulary.read(tmp_path / "w.jsonl") == whole
    assert len(Vocabulary.read(tmp_path / "w.jsonl", rows=4)) == 4


def test_write_adds_up_what_is_out_of_the_vocabulary(tmp_path):
    def rows(ids, values, counts) -> pl.DataFrame:
        return pl.DataFrame({"id": ids, "value": values, "count": counts}).cast({"id": pl.Int32})

    frames = [rows([3, 1], ["y", "rare"], [5, 1]), rows([2, 1], ["ü", "rarer"], [9, 2])]
    assert vocabulary.write(epath.Path(tmp_path), "item", 0, frames) == 2
    lines = (tmp_path / "item.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [["", 0], ["", 3], ["ü", 9], ["y", 5]]
    assert vocabulary.write(epath.Path(tmp_path), "item", 1, [rows([7], ["z"], [1])]) == 1
    assert (tmp_path / "item.1.jsonl").read_text() == '["z", 1]\n'
