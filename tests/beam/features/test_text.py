import random
from itertools import pairwise

import pyarrow as pa
import pytest

from podway.beam.features import text
from podway.framework.config.features import CharacterNgrams, Words
from podway.framework.schema import code_points
from tests.framework.schema.test_code_points import lowercase, words

TEXTS = [
    *(
        "Hello, World!",
        None,
        "",
        "naïve İSTANBUL ΣΑΣ",
        "a",
        "日本語 １２ 👩‍👩‍👧",
        "..",
        "e\u0301x a_b",
    ),
    *("𐐀𐐨!𝕳", "x" * 100, " lead", "trail ", "a b" * 50),
]


def spelled(sentence: str | None, tokenizer: Words | CharacterNgrams) -> list[str]:
    """All tokens, one character at a time."""
    table, mapping = words(), lowercase()
    found, word = [], ""
    for character in (sentence or "") + " ":
        point = ord(character)
        if table[point]:
            word += chr(mapping.get(point, point)) if tokenizer.lowercase else character
        elif word:
            found.append(word)
            word = ""
    if isinstance(tokenizer, Words):
        return found
    grams, size = [], tokenizer.size
    for word in found:
        framed = f"<{word}>"
        grams += [framed[at : at + size] for at in range(max(len(framed) - size + 1, 1))]
    return grams


def rows(parts: text.Parts) -> list[list[str]]:
    values, ends = parts.values.to_pylist(), [0, *parts.lengths.cumsum().tolist()]
    parts.values.validate(full=True)
    return [values[start:end] for start, end in pairwise(ends)]


@pytest.mark.parametrize(
    "tokenizer",
    [Words(), Words(lowercase=False), *(CharacterNgrams(size) for size in (2, 3, 5, 9))],
)
@pytest.mark.parametrize("at_once", [1, 7, 1 << 22])
def test_tokens_are_those_found_one_by_one(tokenizer, at_once, monkeypatch):
    monkeypatch.setattr(text, "POINTS_AT_ONCE", at_once)
    generator = random.Random(2)
    odd = ["".join(map(chr, generator.choices(range(0x3000), k=20))) for _ in range(50)]
    for texts in ([*TEXTS, *odd], [None], [""], []):
        expected = [spelled(sentence, tokenizer) for sentence in texts]
        for kept in (1, 4, 1000):
            found = text.tokens(pa.array(texts, pa.string()), tokenizer, kept)
            assert rows(found) == [row[:kept] for row in expected]


def test_examples():
    texts = pa.array(["Où est-ce? ÇA"])
    assert rows(text.tokens(texts, Words(), 9)) == [["où", "est", "ce", "ça"]]
    grams = text.tokens(texts, CharacterNgrams(3), 6)
    assert rows(grams) == [["<où", "où>", "<es", "est", "st>", "<ce"]]
    grams = text.tokens(pa.array(["a bc def"]), CharacterNgrams(4), 9)
    assert rows(grams) == [["<a>", "<bc>", "<def", "def>"]]


def test_lists_are_divided_from_the_left_and_empty_parts_dropped():
    texts = pa.array(["a|b||a", "|||", None, "", "x", "a||b|||c"])
    expected = [["a", "b", "a"], [], [], [], ["x"], ["a", "b", "c"]]
    assert rows(text.divide(texts, "|")) == expected
    assert rows(text.divide(texts, "||"))[5] == ["a", "b", "|c"]
    assert rows(text.divide(texts[4:], "|")) == expected[4:]
    assert rows(text.divide(texts[:0], "|")) == []


def test_bytes():
    lengths, ids = text.byte_ids(pa.array(["é", None, "", "abcd"]), 3)
    assert lengths.tolist() == [2, 0, 0, 3]
    assert ids.tolist() == [2 + 0xC3, 2 + 0xA9, 99, 100, 101]


def test_the_last_code_point_has_a_place_in_the_tables():
    found = text.tokens(pa.array([f"a{chr(code_points.END - 1)}b"]), Words(), 9)
    assert rows(found) == [["a", "b"]]
