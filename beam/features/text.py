"""Text in parts: lists at their separator, and tokens (features.Words, features.CharacterNgrams).

Works on the code points of many texts at once. export/graph/features.py does the same in
TensorFlow.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from podway.framework.config.features import CharacterNgrams, Words
from podway.framework.schema import code_points
from podway.framework.schema.schema import FIRST_VALUE

pc: Any = pyarrow.compute  # which makes its functions when it is imported

HEAD = 16
"""Code points that are looked at first for each token that is wanted; eight times as many, again
and again, where they have too few: so that the cost of a text is that of its first tokens."""

POINTS_AT_ONCE = 1 << 22
"""Code points that are worked on together; bounds the memory."""

_OPEN, _CLOSE = ord("<"), ord(">")


@dataclasses.dataclass(frozen=True)
class Parts:
    """The parts of some texts.

    Attributes:
      lengths: int64 [texts], how many each has.
      values: all parts, in order; none is empty.
    """

    lengths: np.ndarray
    values: pa.Array


def divide(texts: pa.Array, separator: str) -> Parts:
    """The parts of lists; null has none."""
    lists = pc.split_pattern(texts, separator)
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy()
    parts = lists.flatten()
    kept = pc.greater(pc.binary_length(parts), 0)
    rows = np.repeat(np.arange(len(texts)), lengths)[kept.to_numpy(zero_copy_only=False)]
    return Parts(np.bincount(rows, minlength=len(texts)), parts.filter(kept))


def tokens(texts: pa.Array, tokenizer: Words | CharacterNgrams, max_tokens: int) -> Parts:
    """The first `max_tokens` tokens of each text; null has none."""
    lengths, size = pc.utf8_length(texts).fill_null(0).to_numpy(), max(64, HEAD * max_tokens)
    left, found = np.arange(len(texts)), [Parts(np.zeros(0, np.int64), _NO_TOKENS)]
    rows = [left[:0]]
    while len(left):
        mine, cut = texts.take(pa.array(left)), lengths[left] > size
        mine = pc.utf8_slice_codeunits(mine, 0, size) if cut.any() else mine
        parts = _of_heads(mine, cut, tokenizer, max_tokens)
        done = ~cut | (parts.lengths >= max_tokens)
        found.append(_choose(parts, done))
        rows.append(left[done])
        left, size = left[~done], size * 8
    every = Parts(
        np.concatenate([parts.lengths for parts in found]),
        pa.chunked_array([parts.values for parts in found]).combine_chunks(),
    )
    return every if len(found) == 2 else _reorder(every, np.concatenate(rows))


_NO_TOKENS = pa.array([], pa.large_string())


def _of_heads(
    texts: pa.Array, cut: np.ndarray, tokenizer: Words | CharacterNgrams, max_tokens: int
) -> Parts:
    """The first tokens of texts that may be cut: those of the word at the cut are left out."""
    found, start = [], 0
    for chunk in _chunks(texts):
        found.append(_tokens(chunk, tokenizer, max_tokens, cut[start : start + len(chunk)]))
        start += len(chunk)
    return Parts(
        np.concatenate([parts.lengths for parts in found]),
        pa.chunked_array([parts.values for parts in found]).combine_chunks(),
    )


def _choose(parts: Parts, rows: np.ndarray) -> Parts:
    """Those of some texts, a mask."""
    if rows.all():
        return parts
    return Parts(parts.lengths[rows], parts.values.filter(pa.array(np.repeat(rows, parts.lengths))))


def _reorder(parts: Parts, rows: np.ndarray) -> Parts:
    """The parts by the number of their text, `rows`."""
    order = np.argsort(rows)
    starts = np.cumsum(parts.lengths) - parts.lengths
    lengths = parts.lengths[order]
    return Parts(lengths, parts.values.take(pa.array(ranges(starts[order], lengths))))


def byte_ids(texts: pa.Array, max_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """int64 lengths, and the int32 ids of the first bytes of all texts (features.Bytes)."""
    heads = pc.binary_slice(texts.cast(pa.binary()), 0, max_tokens)
    sizes = pc.binary_length(heads).fill_null(0).to_numpy().astype(np.int64)
    content = b"".join(heads.drop_null().to_pylist())
    lengths = np.minimum(sizes, max_tokens)
    kept = ranges(np.cumsum(sizes) - sizes, lengths)
    return lengths, np.frombuffer(content, np.uint8)[kept].astype(np.int32) + FIRST_VALUE


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """start, start + 1 … of each length, one after the other."""
    before = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(starts - before, lengths)


def _chunks(texts: pa.Array) -> Iterator[pa.Array]:
    ends = np.cumsum(pc.utf8_length(texts).fill_null(0).to_numpy().astype(np.int64))
    chunk = (ends - 1) // POINTS_AT_ONCE
    starts = np.flatnonzero(np.append(True, chunk[1:] != chunk[:-1]))
    for start, end in zip(starts, np.append(starts[1:], len(texts)), strict=True):
        yield texts.slice(start, end - start)


def _tokens(
    texts: pa.Array, tokenizer: Words | CharacterNgrams, max_tokens: int, cut: np.ndarray
) -> Parts:
    """The first tokens of each text; without the last word of one that is cut within it."""
    count = len(texts)
    lengths = pc.utf8_length(texts).fill_null(0).to_numpy().astype(np.int64)
    points = np.frombuffer("".join(texts.drop_null().to_pylist()).encode("utf-32-le"), np.uint32)
    row = np.repeat(np.arange(count), lengths)
    inside = _words()[points]
    follows = np.append(False, inside[:-1] & (row[1:] == row[:-1]))[: len(points)]
    begins = inside & ~follows
    word_row, points = row[begins], points[inside]
    word_length = np.bincount((np.cumsum(begins) - 1)[inside], minlength=len(word_row))
    kept = _rank(word_row, count) < max_tokens  # each word has a token at least
    if cut.any():
        ends = np.flatnonzero(inside & ~np.append((inside & follows)[1:], False))
        reaches = ends == (np.cumsum(lengths) - 1)[word_row]
        whole = np.iinfo(np.int64).max
        if isinstance(tokenizer, CharacterNgrams):  # of these the first ones are enough
            whole = max_tokens + tokenizer.size
        kept &= ~(reaches & cut[word_row] & (word_length < whole))
    points = points[np.repeat(kept, word_length)]
    word_row, word_length = word_row[kept], word_length[kept]
    if tokenizer.lowercase:
        points = _lowercase()[points]
    if isinstance(tokenizer, Words):
        return Parts(np.bincount(word_row, minlength=count), _encode(points, word_length))
    framed = np.full(len(points) + 2 * len(word_length), _OPEN, np.uint32)
    ends = np.cumsum(word_length + 2)
    starts = ends - word_length - 2
    framed[ends - 1] = _CLOSE
    framed[ranges(starts + 1, word_length)] = points
    token_count = np.maximum(word_length + 2 - tokenizer.size + 1, 1)
    token_row = np.repeat(word_row, token_count)
    kept = _rank(token_row, count) < max_tokens
    token_start = ranges(starts, token_count)[kept]
    token_length = np.repeat(np.minimum(word_length + 2, tokenizer.size), token_count)[kept]
    return Parts(
        np.bincount(token_row[kept], minlength=count),
        _encode(framed[ranges(token_start, token_length)], token_length),
    )


def _rank(row: np.ndarray, rows: int) -> np.ndarray:
    """Each one's place, from 0, among those of its row; `row` rises."""
    count = np.bincount(row, minlength=rows)
    return np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)


def _encode(points: np.ndarray, lengths: np.ndarray) -> pa.Array:
    """Code points as texts of these lengths."""
    content = points.astype("<u4").tobytes().decode("utf-32-le").encode()
    size = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
    bounds = np.append(0, np.cumsum(size))[np.append(0, np.cumsum(lengths))]
    buffers = [None, pa.py_buffer(bounds.astype(np.int64)), pa.py_buffer(content)]
    return pa.Array.from_buffers(pa.large_string(), len(lengths), buffers)


@functools.cache
def _words() -> np.ndarray:
    """bool by code point."""
    changes = np.zeros(code_points.END, np.int64)
    changes[list(code_points.BOUNDARIES)] = 1
    return np.cumsum(changes) % 2 == 1


@functools.cache
def _lowercase() -> np.ndarray:
    """uint32 by code point."""
    table = np.arange(code_points.END, dtype=np.uint32)
    for first, last, step, distance in code_points.LOWERCASE:
        table[first : last + 1 : step] += np.uint32(distance % 2**32)
    return table
