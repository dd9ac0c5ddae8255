import math
import pickle
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from podway.beam.features import fit
from podway.beam.features.fingerprint import fingerprints
from podway.framework import codec
from podway.framework.config.features import (
    Bytes,
    Categorical,
    CharacterNgrams,
    Cyclical,
    Gap,
    Hashed,
    Label,
    Numeric,
    Quantiles,
    Text,
    Transform,
    Words,
)
from podway.framework.schema.fitted import FittedTransform, read_transforms, write_transforms
from podway.framework.schema.schema import Feature, Vocabulary

FITTED_BY_TEXT = [
    Categorical("x"),
    Categorical("x", min_count=3, max_values=20, oov_buckets=4),
    Categorical("x", many=True),
    Text("x", max_tokens=4),
    Text("x", tokenizer=CharacterNgrams(3), max_tokens=9),
    Text("x", tokenizer=Bytes()),
    Hashed("x"),
]
FITTED_BY_NUMBERS = [
    Numeric("x"),
    Numeric("x", scale="log_standard"),
    Numeric("x", scale="none"),
    Quantiles("x", buckets=50),
    Label("x"),
]


def fit_values(
    one: Transform, values: pa.Array, counts: Any = None
) -> tuple[FittedTransform, Vocabulary | None]:
    return fit.fit(one, fit.observe(one, values, counts), "events")


def fit_words(
    one: Transform, values: pa.Array, counts: Any = None
) -> tuple[FittedTransform, Vocabulary]:
    fitted, words = fit_values(one, values, counts)
    assert words is not None
    return fitted, words


def numbers(*values: float | None) -> pa.Array:
    return pa.array(values, pa.float32())


def some_values(one: Transform) -> list[Any]:
    generator = random.Random(4)
    if one in FITTED_BY_NUMBERS:
        return [None, *(generator.gauss(1e4, 1e3) for _ in range(40_000))]
    letters = "aäbcdé日本 |"
    texts = ("".join(generator.choices(letters, k=generator.randrange(6))) for _ in range(3000))
    return [None, *(text or None for text in texts)]


def content(one: Transform, state: fit.State) -> Any:
    fitted, words = fit.fit(one, state, "events")
    return codec.to_json(fitted), words, pickle.dumps(state)


@pytest.mark.parametrize("one", [*FITTED_BY_TEXT, *FITTED_BY_NUMBERS], ids=str)
def test_what_is_fitted_does_not_depend_on_how_the_rows_were_distributed(one):
    values, kind = some_values(one), pa.float32() if one in FITTED_BY_NUMBERS else pa.string()
    whole = content(one, fit.merge(one, [fit.observe(one, pa.array(values, kind))]))
    generator = random.Random(1)
    for parts in (2, 9):
        generator.shuffle(values)
        states = [fit.observe(one, pa.array(values[start::parts], kind)) for start in range(parts)]
        states.append(fit.observe(one, pa.array([], kind)))
        assert content(one, fit.merge(one, states)) == whole
        folded = states[0]
        for state in states[1:]:
            folded = fit.merge(one, [pickle.loads(pickle.dumps(state)), folded])
        assert content(one, folded) == whole
        nested = [fit.merge(one, states[1:]), fit.merge(one, states[:1])]
        assert content(one, fit.merge(one, nested)) == whole
    counted = pa.array(values, kind).value_counts()
    state = fit.observe(one, counted.field(0), counted.field(1).to_numpy())
    assert content(one, fit.merge(one, [state])) == whole


@pytest.mark.parametrize("one", [*FITTED_BY_TEXT, *FITTED_BY_NUMBERS], ids=str)
def test_nothing_seen_is_no_error(one):
    kind = pa.float32() if one in FITTED_BY_NUMBERS else pa.string()
    fitted, words = fit.fit(one, fit.merge(one, []), "events")
    assert fitted == fit_values(one, pa.array([], kind))[0]
    values = pa.array(some_values(one)[1:9], kind)
    assert len(fit.apply(fitted, words, values)) == 8
    if isinstance(one, Quantiles):
        assert fit.apply(fitted, None, numbers(1, None)).to_pylist() == [1, 0]


def test_a_vocabulary_is_by_falling_count_then_fingerprint():
    values = [f"value {number}" for number in range(40)]
    counts = [3 if number % 4 == 0 else 1 for number in range(40)]
    fitted, words = fit_words(
        Categorical("x"), pa.array([*values, None, ""]), np.array([*counts, 9, 9])
    )
    hashes = dict(zip(values, fingerprints(pa.array(values)).tolist(), strict=True))
    often, seldom = values[::4], [value for value in values if value not in values[::4]]
    assert words.values == (
        "",
        "",
        *sorted(often, key=hashes.__getitem__),
        *sorted(seldom, key=hashes.__getitem__),
    )
    assert words.counts == (0, 0, *[3] * 10, *[1] * 30)
    assert (fitted.vocabulary, fitted.size) == ("x", 42)


def test_min_count_max_values_and_buckets():
    values = pa.array(["a"] * 5 + ["b"] * 4 + ["c"] * 3 + ["d"] * 2 + ["e"])
    fitted, words = fit_words(Categorical("x", min_count=2), values)
    assert words.values == ("", "", "a", "b", "c", "d")
    assert words.counts == (0, 1, 5, 4, 3, 2)
    asked = pa.array(["d", "e", None, "a", "?", ""])
    assert fit.apply(fitted, words, asked).to_pylist() == [5, 1, 0, 2, 1, 0]

    one = Categorical("x", min_count=2, max_values=3, oov_buckets=3)
    fitted, words = fit_words(one, values)
    assert words.values == ("", "", "a", "b", "c")
    assert words.counts == (0, 3, 5, 4, 3)
    assert fitted.size == 5 + 2
    unknown = [f"unknown {number}" for number in range(50)]
    ids = fit.apply(fitted, words, pa.array([*unknown, "b"])).to_pylist()
    bucket = [int(value % 3) for value in fingerprints(pa.array(unknown))]
    assert ids == [*({0: 1, 1: 5, 2: 6}[value] for value in bucket), 3]
    assert set(bucket) == {0, 1, 2}


def test_many_values():
    texts = pa.array(["a|b", "b||c|b", None, "|||", ""])
    fitted, words = fit_words(Categorical("x", many=True), texts, np.array([1, 10, 5, 5, 5]))
    assert words.values == ("", "", "b", "c", "a")
    assert words.counts == (0, 0, 21, 10, 1)
    found = fit.apply(fitted, words, pa.array(["a|?|b|b", None, "", "|", "c"]))
    assert found.to_pylist() == [[4, 1, 2, 2], [], [], [], [3]]
    assert found.null_count == 0
    hashed, _ = fit_values(Hashed("x", buckets=100, many=True), texts)
    ids = 2 + fingerprints(pa.array(["a", "?"])) % 100
    found = fit.apply(hashed, None, pa.array(["a|?", None])).to_pylist()
    assert found == [ids.tolist(), []]


def test_text():
    texts = pa.array(["to be or not to be", "To see, to be", None])
    one = Text("x", max_tokens=4, min_count=2)
    fitted, words = fit_words(one, texts)
    # Only the first four tokens of a text are looked at: to be or not, to see to be.
    assert dict(zip(words.values[2:], words.counts[2:], strict=True)) == {"to": 3, "be": 2}
    assert words.counts[1] == 3
    found = fit.apply(fitted, words, pa.array(["BE to, or to be", None, "…"]))
    assert found.to_pylist() == [[3, 2, 1, 2], [], []]
    assert fitted.size == 4
    fitted, words = fit_words(Text("x", tokenizer=Words(lowercase=False)), texts)
    assert "To" in words.values
    fitted, words = fit_values(Text("x", tokenizer=Bytes(), max_tokens=3), texts)
    assert (fitted.size, fitted.vocabulary, words) == (258, None, None)
    assert fit.apply(fitted, None, pa.array(["é!?", None])).to_pylist() == [
        [0xC3 + 2, 0xA9 + 2, 0x21 + 2],
        [],
    ]


def test_dictionary_encoded_columns_have_the_same_ids():
    texts = pa.array(["a|b", None, "b", "b", "?"])
    for one in (Categorical("x", oov_buckets=3), Categorical("x", many=True), Hashed("x")):
        fitted, words = fit_values(one, texts[:3])
        plain = fit.apply(fitted, words, texts)
        assert fit.apply(fitted, words, texts.dictionary_encode()).equals(plain)
        assert fit.apply(fitted, words, texts[1:]).equals(plain[1:])


def test_hashed():
    fitted, words = fit_values(Hashed("x", buckets=10), pa.array(["a"]))
    assert (fitted.size, words) == (12, None)
    found = fit.apply(fitted, None, pa.array(["a", None, "é"]))
    hashes = (fingerprints(pa.array(["a", "é"])) % 10 + 2).tolist()
    assert found.to_pylist() == [hashes[0], 0, hashes[1]]
    assert found.type == pa.int32()


def test_numeric():
    values = numbers(1, 3, 5, 7, None)
    x = numbers(9, None, math.inf, -3)
    largest = np.finfo(np.float32).max
    fitted, _ = fit_values(Numeric("x"), values)
    assert fitted.mean == 4
    assert fitted.deviation == np.float32(math.sqrt(5))
    expected = np.array([(9 - 4) / math.sqrt(5), 0, 0, (-3 - 4) / math.sqrt(5)], np.float32)
    expected[2] = (float(largest) - 4) / math.sqrt(5)
    np.testing.assert_allclose(fit.apply(fitted, None, x), expected, rtol=1e-6)
    fitted, _ = fit_values(Numeric("x", scale="none", missing=-1), values)
    assert fit.apply(fitted, None, x).to_pylist() == [9, -1, largest, -3]
    fitted, _ = fit_values(Numeric("x", scale="log"), values)
    expected = [math.log(10), 0, math.log1p(largest), -math.log(4)]
    np.testing.assert_allclose(fit.apply(fitted, None, x), expected, rtol=1e-6)
    fitted, _ = fit_values(Numeric("x", scale="log_standard"), values)
    logs = np.log1p([1, 3, 5, 7])
    assert fitted.mean == pytest.approx(logs.mean(), rel=1e-7)
    assert fitted.deviation == pytest.approx(logs.std(), rel=1e-7)
    np.testing.assert_allclose(
        fit.apply(fitted, None, numbers(9)), (math.log(10) - logs.mean()) / logs.std(), 1e-6
    )
    fitted, _ = fit_values(Numeric("x"), numbers(2.5, 2.5))
    assert (fitted.mean, fitted.deviation) == (2.5, 1)
    fitted, _ = fit_values(Numeric("x"), numbers(0, 1e-38))
    assert np.isfinite(fit.apply(fitted, None, numbers(1e38, -1e38))).all()


def test_quantiles():
    fitted, _ = fit_values(Quantiles("x", buckets=4), numbers(*range(1, 9)))
    assert fitted.boundaries == (3, 5, 7)
    assert fitted.size == 5
    found = fit.apply(fitted, None, numbers(-9, 1, 2.9, 3, 4, 5, 7, math.inf, None))
    assert found.to_pylist() == [1, 1, 1, 2, 2, 3, 4, 4, 0]
    assert found.type == pa.int32()
    # Half of the values are equal; none of the boundaries has nothing below it.
    fitted, _ = fit_values(Quantiles("x", buckets=4), numbers(0, 0, 0, 0, 1, 2, 3, 4))
    assert fitted.boundaries == (1, 3)
    assert fit_values(Quantiles("x"), numbers(5, 5, 5))[0].boundaries == ()
    values = np.random.default_rng(0).exponential(size=100_000).astype(np.float32)
    fitted, _ = fit_values(Quantiles("x", buckets=20), pa.array(values))
    sizes = np.bincount(fit.apply(fitted, None, pa.array(values)))
    assert sizes[0] == 0
    np.testing.assert_allclose(sizes[1:], 5000, rtol=0.05)


@pytest.mark.parametrize(
    ("period", "start", "quarter"),
    [
        ("day", 0, 6 * 3600),
        ("week", 4 * 86_400, 7 * 6 * 3600),  # 1970-01-05 was a Monday
        ("year", 0, 365.2425 * 6 * 3600),
    ],
)
def test_cyclical(period, start, quarter):
    fitted, _ = fit_values(Cyclical("x", period=period), pa.array([0]))
    seconds = [start, start + quarter, start - 4 * quarter, start - quarter, start + 2 * quarter]
    times = pa.array([*(int(second * 1_000_000) for second in seconds), None], pa.int64())
    found = fit.apply(fitted, None, times)
    assert found.type == pa.list_(pa.float32(), 2)
    expected = [[0, 1], [1, 0], [0, 1], [-1, 0], [0, -1], [0, 0]]
    np.testing.assert_allclose(found.to_pylist(), expected, atol=1e-6)
    assert found.to_pylist()[5] == [0, 0]


def test_gaps():
    time = np.array([0, 1_000_000, 1_000_000, 500_000_000, 7, 7 + 3_000_000], np.int64)
    found = fit.gaps(time, np.array([0, 3, 3, 4, 6, 6]))
    expected = np.float32([0, math.log(2), 0, 0, 0, math.log(4)])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found[[0, 2, 3, 4]].tolist() == [0] * 4
    assert fit.gaps(np.zeros(0, np.int64), np.array([0, 0])).shape == (0,)
    with pytest.raises(TypeError, match="gaps"):
        fit.apply(FittedTransform(Gap("x")), None, pa.array([1]))


def test_label():
    fitted, _ = fit_values(Label("x"), numbers())
    assert fit.apply(fitted, None, numbers(2.5, 0)).to_pylist() == [2.5, 0]
    # 0.1 is not above 0.1, though the nearest float32 is above the nearest float64.
    fitted, _ = fit_values(Label("x", above=0.1), numbers())
    assert fit.apply(fitted, None, numbers(0.1, 0.11, -1)).to_pylist() == [0, 1, 0]


def test_features():
    def feature(one: Transform) -> Feature:
        values = pa.array([1], pa.int64()) if isinstance(one, Cyclical | Gap) else numbers(1, 2)
        if fit.kind(one) == "text":
            values = pa.array(["a", "b", "b"])
        fitted, words = fit.fit(one, fit.observe(one, values), "item")
        return fit.features(fitted, words)

    def expected(dtype: str, **fields: Any) -> Feature:
        return Feature(
            **{"name": "x", "role": "feature", "dtype": dtype, "table": "item", **fields}
        )

    assert feature(Categorical("x", oov_buckets=3)) == expected("int32", vocabulary="x", size=6)
    assert feature(Hashed("x", buckets=5, many=True)) == expected("int32", ragged=True, size=7)
    assert feature(Text("x")) == expected("int32", ragged=True, vocabulary="x", size=4)
    assert feature(Text("x", tokenizer=Bytes())) == expected("int32", ragged=True, size=258)
    assert feature(Numeric("x")) == feature(Gap("x")) == expected("float32")
    assert feature(Quantiles("x", buckets=2)) == expected("int32", size=3)
    assert feature(Cyclical("x")) == expected("float32", shape=(2,))
    assert feature(Label("x")) == expected("float32", role="label")


def test_what_is_fitted_survives_its_file(tmp_path):
    made = tuple(
        fit_values(one, pa.array(some_values(one), kind))[0]
        for ones, kind in ((FITTED_BY_TEXT, pa.string()), (FITTED_BY_NUMBERS, pa.float32()))
        for one in ones
    )
    write_transforms(tmp_path / "transform.json", made)
    assert read_transforms(tmp_path / "transform.json") == made
