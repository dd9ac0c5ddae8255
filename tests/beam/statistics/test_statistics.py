import json
import math
import pathlib
import pickle

import numpy as np
import pytest
import scipy.stats

from podway.beam.error import DataError
from podway.beam.statistics import distinct, ids, numbers, statistics
from podway.framework.schema.schema import Feature, Vocabulary

NUMBER = Feature("x", "feature", "float32")
WORD = Feature("w", "feature", "int32", vocabulary="w", size=2002)
WORDS = Vocabulary(("", "", *(f"w{at}" for at in range(2000))), (0,) * 2002)


def draw(kind: str, count: int = 100_000) -> np.ndarray:
    generator = np.random.default_rng(7)
    values = {
        "normal": generator.normal(5, 2, count),
        "lognormal": np.exp(3 * generator.normal(size=count)),
        "stars": generator.integers(1, 11, count) / 2,
        "times": generator.integers(1_400_000_000_000_000, 1_500_000_000_000_000, count),
    }[kind].astype(np.float64)
    values[generator.random(count) < 0.1] = np.nan
    return values


def text(part: numbers.Numbers) -> str:
    return json.dumps(statistics.to_json(part, NUMBER))


@pytest.mark.parametrize("kind", ["normal", "lognormal", "stars", "times"])
def test_numbers_merge_to_the_bit_in_any_order(kind):
    values = draw(kind)
    whole = text(statistics.numbers(values))
    generator = np.random.default_rng(1)
    for count in (2, 9, 200):
        parts = [
            statistics.numbers(part)
            for part in np.array_split(generator.permutation(values), count)
        ]
        assert text(statistics.merge(parts)) == whole
        folded = parts[0]
        for part in parts[1:]:
            stored = statistics.from_json(json.loads(text(part)))
            folded = statistics.merge([pickle.loads(pickle.dumps(stored)), folded])
        assert text(folded) == whole
    found, counts = np.unique(values, return_counts=True, equal_nan=False)
    assert text(statistics.numbers(found, counts)) == whole


@pytest.mark.parametrize("kind", ["normal", "lognormal", "stars", "times"])
def test_numbers_are_those_of_numpy(kind):
    values = draw(kind)
    plain = values[~np.isnan(values)]
    found = statistics.to_json(statistics.numbers(values), NUMBER)
    assert (found["count"], found["missing"]) == (100_000, 100_000 - len(plain))
    assert (found["min"], found["max"]) == (plain.min(), plain.max())
    assert found["mean"] == pytest.approx(plain.mean(), rel=2e-3)
    assert found["deviation"] == pytest.approx(plain.std(), rel=5e-3)
    assert found["skewness"] == pytest.approx(scipy.stats.skew(plain), rel=0.02, abs=0.02)
    assert found["kurtosis"] == pytest.approx(scipy.stats.kurtosis(plain), rel=0.02, abs=0.05)
    for share, number in found["quantiles"].items():
        exact = np.quantile(plain, float(share), method="inverted_cdf")
        assert number == pytest.approx(exact, rel=0.02)
    exact = len(np.unique(plain))
    if kind == "stars":
        assert (found["distinct"], found["distinct_is"]) == (10, "exact")
        counted = {value: int((plain == value).sum()) for value in np.unique(plain)}
        assert found["top"] == [
            [value, counted[value]] for value in sorted(counted, key=lambda v: (-counted[v], v))
        ]
    else:
        assert found["distinct"] == pytest.approx(exact, rel=0.06)
        assert found["distinct_is"] == "estimated"
        assert found["top"] == []
    assert sum(found["histogram"]["counts"]) == len(plain)
    assert len(found["histogram"]["edges"]) == len(found["histogram"]["counts"]) + 1


def test_a_number_that_stands_out_of_many_is_told():
    values = np.append(draw("normal"), np.full(3_000, -1.0))
    found = statistics.to_json(statistics.numbers(values), NUMBER)
    assert found["top"] == [[-1, 3_000]]


def test_edges_of_numbers():
    none = statistics.to_json(statistics.numbers([math.nan, math.nan]), NUMBER)
    assert (none["count"], none["missing"], none["distinct"]) == (2, 2, 0)
    assert none["min"] is none["mean"] is none["skewness"] is none["quantiles"]["0.5"] is None
    empty = statistics.numbers(np.array([], np.float32))
    assert text(statistics.merge([empty, empty])) == text(empty)
    same = statistics.to_json(statistics.numbers(np.full(4, 2.5)), NUMBER)
    assert (same["mean"], same["deviation"], same["skewness"]) == (2.5, 0, None)
    wild = statistics.to_json(statistics.numbers([-math.inf, -0.0, 0.0, math.inf]), NUMBER)
    assert (wild["distinct"], wild["max"]) == (3, np.finfo(np.float32).max)


def test_kinds_of_numbers():
    part = statistics.numbers([1, 2])
    kinds = [
        statistics.to_json(part, feature)["kind"]
        for feature in (
            NUMBER,
            Feature("t", "time", "int64"),
            Feature("c", "feature", "float32", shape=(2,)),
        )
    ]
    assert kinds == ["number", "time", "time"]


def some_ids(count: int = 20_000) -> np.ndarray:
    """Of a vocabulary of 2,002 rows and 3 further out-of-vocabulary buckets; Zipf's law."""
    weights = 1 / np.arange(1, 2006)
    generator = np.random.default_rng(4)
    return generator.choice(2005, count, p=weights / weights.sum())


def count_ids(found: np.ndarray) -> ids.Ids:
    return statistics.ids(np.bincount(found), statistics.numbers(np.full(len(found) // 4, 4)))


def test_ids_merge_to_the_bit_in_any_order():
    found = some_ids()
    whole = json.dumps(statistics.to_json(count_ids(found), WORD, WORDS))
    generator = np.random.default_rng(1)
    for count in (2, 50):
        parts = [
            count_ids(part)
            for part in np.array_split(generator.permutation(found), count)
        ]  # fmt: skip
        assert json.dumps(statistics.to_json(statistics.merge(parts), WORD, WORDS)) == whole
        folded = parts[0]
        for part in parts[1:]:
            folded = statistics.merge([part, folded])
        assert json.dumps(statistics.to_json(folded, WORD, WORDS)) == whole


def test_ids_are_counted_and_the_most_frequent_listed():
    found = some_ids()
    counts = np.bincount(found, minlength=2005)
    told = statistics.to_json(count_ids(found), WORD, WORDS)
    assert told["count"] == 20_000
    assert told["missing"] == counts[0]
    assert told["out_of_vocabulary"] == counts[1] + counts[2002:].sum()
    values = counts[2:2002]
    assert (told["distinct"], told["distinct_is"]) == ((values > 0).sum(), "exact")
    order = sorted(range(2000), key=lambda at: (-values[at], at))
    assert told["top"] == [[at + 2, f"w{at}", values[at]] for at in order[:1000]]
    rest = values[order[1000:]]
    assert told["rest"]["count"] == sum(told["rest"]["buckets"]) == rest.sum()
    assert told["rest"]["distinct"] == (rest > 0).sum()
    for place, number in enumerate(told["occurrences"]):
        assert number == ((values >= 2**place) & (values < 2 ** (place + 1))).sum()
    assert told["lengths"]["kind"] == "length"
    assert told["lengths"]["mean"] == 4


def test_ids_from_json_go_on():
    first, second = np.split(some_ids(), [12_000])
    stored = json.dumps(statistics.to_json(count_ids(first), WORD, WORDS))
    read = statistics.from_json(json.loads(stored))
    assert json.dumps(statistics.to_json(read, WORD, WORDS)) == stored
    merged = statistics.to_json(statistics.merge([read, count_ids(second)]), WORD, WORDS)
    whole = statistics.to_json(count_ids(some_ids()), WORD, WORDS)
    for name in ("count", "missing", "out_of_vocabulary", "lengths"):
        assert merged[name] == whole[name]
    assert merged["top"][:100] == whole["top"][:100]
    assert merged["distinct_is"] == "at_least"
    assert merged["distinct"] <= whole["distinct"]
    # What the first part didn't list is missing from a count, and in the rest instead.
    lowest = json.loads(stored)["top"][-1][2]
    counts = {one: count for one, _, count in whole["top"]}
    for one, _, count in merged["top"]:
        assert counts.get(one, 0) - lowest <= count <= counts.get(one, count)


def test_ids_without_a_vocabulary():
    told = statistics.to_json(statistics.ids(np.array([1, 0, 5, 7])), WORD)
    assert told["top"] == [[3, None, 7], [2, None, 5]]
    assert (told["missing"], told["out_of_vocabulary"]) == (1, 0)
    assert "lengths" not in told


def test_distinct_numbers_are_estimated_within_their_error():
    generator = np.random.default_rng(0)
    for count in (100, 5_000, 20_000, 400_000):
        errors = []
        for _ in range(20):
            registers = distinct.of(generator.normal(size=count))
            assert (distinct.from_text(distinct.to_text(registers)) == registers).all()
            errors.append(distinct.estimate(registers) / count - 1)
        assert np.abs(np.mean(errors)) < 4 * 0.016 / math.sqrt(20)
        assert np.std(errors) < 2 * 0.016


def test_the_file(tmp_path: pathlib.Path):
    path = tmp_path / "statistics.json"
    splits = {
        "train": {
            "x": statistics.to_json(statistics.numbers(draw("normal")), NUMBER),
            "w": statistics.to_json(count_ids(some_ids()), WORD, WORDS),
        },
        "test": {},
    }
    statistics.write(path, splits)
    assert statistics.read(path) == splits
    assert json.loads(path.read_text())["format"] == 1
    assert len(path.read_text().splitlines()) < 60  # for people, too
    path.write_text('{"format": 2, "splits": {}}')
    with pytest.raises(DataError, match="has format 2; this Podway reads format 1"):
        statistics.read(path)
    path.write_text('{"train": {}}')
    with pytest.raises(DataError, match=r"statistics.json holds no statistics; build"):
        statistics.read(path)
    with pytest.raises(DataError, match="there is no "):
        statistics.read(tmp_path / "nowhere.json")
