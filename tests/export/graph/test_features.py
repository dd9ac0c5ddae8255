"""One definition, two executions: beam/features/fit.py and a saved and loaded graph agree."""

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from podway.beam.features import fit
from podway.export.error import ExportError
from podway.export.graph import features, text
from podway.framework.config.features import (
    Bytes,
    Categorical,
    CharacterNgrams,
    Cyclical,
    Gap,
    Hashed,
    Label,
    Numeric,
    Pixels,
    Quantiles,
    Text,
    Transform,
    Words,
    has_vocabulary,
    is_ragged,
    kind,
)
from podway.framework.schema.fitted import FittedTransform

LENGTH = 7
"""Of the rows of ids, where a feature is a list."""

TEXTS = [
    *(
        "",
        " ",
        "\t\n",
        "a",
        "A",
        "a|b",
        "|||",
        "||a||",
        "b|b|a",
        "x||y||||z",
        "a||b|||c",
        "0",
        "-1",
    ),
    *("Hello, World!", "naïve café", "nai\u0308ve cafe\u0301", "ΣΊΣΥΦΟΣ ς", "İstanbul ISPARTA ı"),
    *("ǅ ŉ ß ẞ ﬁ", "٣٤ १२ Ⅷ ½ ²", "שלום עולם", "مرحبا، بالعالم", "\u202eright to left\u202c"),
    *(
        "日本語のテキスト",
        "한국어",
        "नमस्ते दुनिया",
        "👩‍👩‍👧 family 🏳️‍🌈",
        "𝕳𝖊𝖑𝖑𝖔 𐐀𐐨",
        "\U000e0041\U0010ffff",
    ),
    *("\ufeffmark", "\ufffe\uffff", "zero\u200bwidth", "non\u00a0breaking", "a\0b", "e\u0301" * 40),
    *("<a>", "<<>>", "under_score", "x" * 10_000, "é|" * 5_000, "word " * 2_000, "Ⓐ ꭰ Ꭰ ა Ა"),
]
NUMBERS = [
    *(0.0, -0.0, 1.0, -1.0, 0.1, 2.5, 3.0, 1e38, -1e38, 3.4028234663852886e38, 1e-45, -1e-45),
    *(1.1754943508222875e-38, 1.17e-38, math.inf, -math.inf, math.nan, 16777217.0, 1e-7, -273.15),
]
TIMES = [
    *(0, -1, 1, 86_400_000_000, -86_400_000_000, 1_700_000_000_123_456, 2**63 - 1, -(2**63) + 1),
    *(-62_135_596_800_000_000, 253_402_300_799_999_999, None),
]
SCALES = ("none", "standard", "log", "log_standard")

TRANSFORMS: list[Transform] = [
    Categorical("plain"),
    Categorical("frequent", min_count=2, max_values=9),
    Categorical("buckets", min_count=3, oov_buckets=5),
    Categorical("empty", min_count=10**9, oov_buckets=3),
    Categorical("many", many=True),
    Categorical("many_rare", many=True, separator="||", min_count=2, oov_buckets=4),
    Hashed("hashed", buckets=1000),
    Hashed("one_bucket", buckets=1),
    Hashed("hashed_many", buckets=2**31 - 3, many=True),
    Text("words", max_tokens=5),
    Text(
        "words_as_they_are",
        tokenizer=Words(lowercase=False),
        max_tokens=50,
        oov_buckets=7,
        min_count=2,
    ),
    Text("bytes", tokenizer=Bytes(), max_tokens=11),
    *(
        Text(
            f"grams_{size}_{lowercase}".lower(),
            tokenizer=CharacterNgrams(size, lowercase),
            max_tokens=40,
        )
        for size in (2, 3, 6)
        for lowercase in (True, False)
    ),
    *(Numeric(f"numeric_{scale}", scale=scale, missing=-5.0) for scale in SCALES),
    *(Numeric(f"equal_{scale}", scale=scale) for scale in SCALES),
    *(Quantiles(f"quantiles_{buckets}", buckets=buckets) for buckets in (2, 10, 1000)),
    Quantiles("equal_quantiles"),
    *(Cyclical(period, period=period) for period in ("day", "week", "year")),
]


def random_text(generator: random.Random) -> str:
    ranges = [(32, 126), (0xA0, 0x17F), (0x370, 0x52F), (0x590, 0x6FF), (0x900, 0x97F)]
    ranges += [(0x1E00, 0x2FFF), (0xA640, 0xABFF), (0x10000, 0x11FFF), (0x1F300, 0x1F6FF)]
    ranges += [(0, 0xD7FF), (0xE000, 0x10FFFF)]
    words = []
    for _ in range(generator.randrange(6)):
        first, last = generator.choice(ranges)
        points = (generator.randint(first, last) for _ in range(generator.randrange(9)))
        words.append("".join(map(chr, points)))
    return generator.choice([" ", "|", "||", "-", ""]).join(words)


def raw_values(of_kind: str) -> list[Any]:
    generator = random.Random(7)
    if of_kind == "text":
        return [*TEXTS, None, *(random_text(generator) for _ in range(700))]
    if of_kind == "time":
        return [*TIMES, *(generator.randrange(-(2**57), 2**57) for _ in range(700))]
    values = [generator.choice((1, 1e-3, 1e9)) * generator.gauss(0, 1) for _ in range(700)]
    bits = np.random.default_rng(7).integers(0, 2**32, 700, np.uint32).view(np.float32)
    return [*NUMBERS, None, *values, *bits.tolist()]


def canonical(of_kind: str, values: Sequence[Any]) -> pa.Array:
    types = {"text": pa.string(), "number": pa.float32(), "time": pa.int64()}
    return pa.array(values, types[of_kind])


def served(values: pa.Array, of_kind: str) -> tf.Tensor:
    missing = {"text": "", "number": math.nan, "time": features.MISSING_TIME}[of_kind]
    return tf.constant(values.fill_null(missing).to_pylist(), features.DTYPES[of_kind])


def train_values(name: str, of_kind: str) -> pa.Array:
    """Half of the values, some of them more than once; all equal where the name says so."""
    if name.startswith("equal"):
        return canonical(of_kind, [2.5] * 10)
    values = raw_values(of_kind)
    half = [
        value for value in values[::2] if value is None or of_kind != "number" or value == value
    ]
    return canonical(of_kind, [*half, *half[: len(half) // 2], *half[: len(half) // 3]])


def fitted_all() -> list[tuple[FittedTransform, Any]]:
    made = []
    for one in TRANSFORMS:
        state = fit.observe(one, train_values(one.name, kind(one)))
        made.append(fit.fit(one, fit.merge(one, [state]), "events"))
    return [*made, fit.fit(Gap("gap"), None, "events")]


def save(directory, made: list[tuple[FittedTransform, Any]]) -> Any:
    vocabularies = {one.vocabulary: words for one, words in made if words is not None}
    lengths = {
        one.transform.name: LENGTH if isinstance(one.transform, Categorical | Hashed) else 50
        for one, _ in made
        if is_ragged(one.transform)
    }
    assets = directory / "assets"
    assets.mkdir()
    module = features.Transforms([one for one, _ in made], vocabularies, lengths, assets)
    tf.saved_model.save(module, str(directory / "model"), signatures=module.signatures())
    for file in assets.iterdir():
        file.unlink()  # the model has its own
    return tf.saved_model.load(str(directory / "model")).signatures["features"]


@pytest.fixture(scope="module")
def made() -> dict[str, tuple[FittedTransform, Any]]:
    return {one.transform.name: (one, words) for one, words in fitted_all()}


@pytest.fixture(scope="module")
def graph(made, tmp_path_factory):
    """Raw values by feature, all of one length → what the loaded graph makes of them."""
    return save(tmp_path_factory.mktemp("transforms"), list(made.values()))


@pytest.fixture(scope="module")
def answers(made, graph):
    """Everything through the graph at once: all columns brought to one length by repetition."""
    rows = max(len(raw_values(of_kind)) for of_kind in features.DTYPES)
    raw = {}
    for one in TRANSFORMS:
        values = raw_values(kind(one))
        values = (values * -(-rows // len(values)))[:rows]
        raw[one.name] = canonical(kind(one), values)
    tensors = {one.name: served(raw[one.name], kind(one)) for one in TRANSFORMS}
    tensors["gap"] = tf.constant([[0]] * rows, tf.int64)
    return raw, {name: value.numpy() for name, value in graph(**tensors).items()}


def padded(lists: pa.Array, length: int) -> np.ndarray:
    rows = [row[:length] for row in lists.to_pylist()]
    return np.array([row + [0] * (length - len(row)) for row in rows])


@pytest.mark.parametrize("name", [one.name for one in TRANSFORMS])
def test_both_executions_agree(name, made, answers):
    raw, found = answers[0][name], answers[1][name]
    fitted, words = made[name]
    ours = fit.apply(fitted, words, raw)
    assert ours.null_count == 0
    feature = fit.features(fitted, words)
    assert found.dtype == feature.dtype
    if is_ragged(fitted.transform):
        assert ours.type == pa.list_(pa.int32())
        length = found.shape[1]
        assert np.array_equal(found, padded(ours, length))
    elif feature.dtype == "int32":
        assert ours.type == pa.int32()
        assert np.array_equal(found, ours.to_numpy())
    elif isinstance(fitted.transform, Cyclical):
        assert ours.type == pa.list_(pa.float32(), 2)
        np.testing.assert_allclose(found, np.array(ours.to_pylist()), rtol=0, atol=1e-6)
    else:
        assert ours.type == pa.float32()
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found, ours.to_numpy(), rtol=1e-6)
    if feature.dtype == "int32":
        distinct = np.unique(found)
        assert distinct.min() >= 0
        assert distinct.max() < feature.size
        assert len(distinct) > 1 or name == "equal_quantiles"


def test_pixels_agree(tmp_path):
    fitted = fit.fit(Pixels("image", size=4), None, "events")
    images = np.random.default_rng(0).integers(0, 256, (9, 4), np.uint8)
    raw = pa.array(images.tolist(), pa.list_(pa.uint8(), 4))
    ours = fit.apply(*fitted, fit.canonical(raw, fitted[0].transform, "here")[0])
    served = save(tmp_path, [fitted])(image=tf.constant(images))["image"].numpy()
    assert served.dtype == fit.features(*fitted).dtype
    assert np.array_equal(served, np.array(ours.to_pylist()))
    assert np.array_equal(served, images)


def test_the_values_reach_every_kind_of_id(made, answers):
    """So that the comparison above compares something."""
    for name in ("plain", "frequent", "buckets", "many", "many_rare", "words", "grams_3_true"):
        fitted, words = made[name]
        found = answers[1][name]
        assert len(words) > 4
        assert {0, 1} <= set(np.unique(found).tolist())
        assert (found > 5).any()
        if fitted.transform.oov_buckets > 1:
            further = range(len(words), fitted.size)
            assert set(further) <= set(np.unique(found).tolist())
    assert len(np.unique(answers[1]["quantiles_1000"])) > 600


@pytest.mark.parametrize("rows", [0, 1])
def test_small_batches(rows, made, graph):
    tensors = {}
    for one in TRANSFORMS:
        values = canonical(kind(one), raw_values(kind(one))[13 : 13 + rows])
        tensors[one.name] = served(values, kind(one))
    tensors["gap"] = tf.zeros([rows, 0], tf.int64)
    for name, found in graph(**tensors).items():
        assert found.shape[0] == rows
        if rows and made[name][0].transform.name != "gap":
            fitted, words = made[name]
            values = canonical(kind(fitted.transform), raw_values(kind(fitted.transform))[13:14])
            ours = fit.apply(fitted, words, values)
            if is_ragged(fitted.transform):
                ours = padded(ours, found.shape[1])
            np.testing.assert_allclose(found.numpy(), np.array(ours.tolist()), rtol=1e-6)


def test_what_is_no_utf8_divides_words_as_the_replacement_character_does():
    broken = [b"ab\xffcd", b"\xc3", b"x\xed\xa0\x80y", b"\xf0\x9f\x91", b"a\xc3 b", b"\xfe\xffa"]
    for tokenizer in (Words(), CharacterNgrams(2)):
        found = [
            text.tokens(tf.constant(values), tokenizer, 50).to_list()
            for values in (broken, [value.decode("utf-8", "replace") for value in broken])
        ]
        assert found[0] == found[1]
        assert found[0][0]
        assert not found[0][1]


def test_gaps(graph, made):
    rows = [[0, 1_000_000, 1_000_000, 90_000_000_000], [5, 7], [-3], [], [2**62, 2**62 + 10**15]]
    rows.append([-62_135_596_800_000_000, 253_402_300_799_999_999])
    time = np.array([moment for row in rows for moment in row], np.int64)
    offsets = np.append(0, np.cumsum([len(row) for row in rows]))
    ours = fit.gaps(time, offsets)
    assert ours.dtype == np.float32
    missing = features.MISSING_TIME
    table = tf.constant([row + [missing] * (4 - len(row)) for row in rows], tf.int64)
    found = features.apply(made["gap"][0], None, table).numpy()
    assert found.shape == (len(rows), 4)
    flat = [value for row, gaps in zip(rows, found, strict=True) for value in gaps[: len(row)]]
    np.testing.assert_allclose(flat, ours, rtol=1e-6)
    assert found[0, :3].tolist() == [0, np.float32(math.log(2)), 0]
    assert not found[1, 2:].any()


def test_the_inputs_are_the_columns_unless_that_is_ambiguous(tmp_path):
    made = [
        fit.fit(one, fit.observe(one, values), table)
        for one, values, table in [
            (Numeric("price"), canonical("number", [1.0, 3.0]), "events"),
            (Quantiles("price_bucket", "price"), canonical("number", [1.0, 3.0]), "events"),
            (Categorical("code", "zip"), canonical("text", ["1"]), "events"),
            (Numeric("region", "zip"), canonical("number", [1.0]), "events"),
            (Categorical("user_age", "age"), canonical("text", ["1"]), "user"),
            (Categorical("item_age", "age"), canonical("text", ["1"]), "item"),
            (Hashed("title", "the title"), canonical("text", []), "events"),
            (Label("bought"), canonical("number", []), "events"),
        ]
    ]
    loaded = save(tmp_path, made)
    specs = loaded.structured_input_signature[1]
    assert set(specs) == {"price", "code", "region", "user_age", "item_age", "title"}
    assert set(loaded.structured_outputs) == {
        *("price", "price_bucket", "code", "region", "user_age", "item_age", "title")
    }
    with pytest.raises(ExportError, match="'bought' cannot be served: it is a Label"):
        features.apply(made[-1][0], None, tf.constant([1.0]))


def test_the_graph_has_only_operations_of_tensorflow_itself(tmp_path, graph):
    names = {node.op for node in graph.graph.as_graph_def().node}
    for function in graph.graph.as_graph_def().library.function:
        names |= {node.op for node in function.node_def}
    assert not {name for name in names if "PyFunc" in name}
    assert {"StringToHashBucketFast", "UnicodeDecodeWithOffsets", "UnicodeDecode"} & names


def test_every_vocabulary_is_an_asset(made):
    assert all((words is not None) == has_vocabulary(one.transform) for one, words in made.values())
