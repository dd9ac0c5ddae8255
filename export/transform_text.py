"""Text in parts, in TensorFlow's operations: does what beam/transform_text.py does in NumPy."""

from typing import Any

import tensorflow as tf

from framework import code_points
from framework.features import CharacterNgrams, Words
from framework.schema import FIRST_VALUE, PADDING

ragged: Any = tf.RaggedTensor  # whose constructors a type checker does not see
_OPEN, _CLOSE = ord("<"), ord(">")


def divide(texts: tf.Tensor, separator: str) -> tf.RaggedTensor:
    """String [batch, parts], without the empty ones."""
    parts = tf.strings.split(texts, separator)
    return tf.ragged.boolean_mask(parts, parts != "")


def byte_ids(texts: tf.Tensor, length: int) -> tf.Tensor:
    """int32 [batch, length]: ids of the first bytes, padded with PADDING."""
    content = tf.cast(tf.io.decode_raw(texts, tf.uint8, fixed_length=length), tf.int32)
    there = tf.sequence_mask(tf.strings.length(texts), length)
    return tf.where(there, content + FIRST_VALUE, PADDING)


def tokens(
    texts: tf.Tensor, tokenizer: Words | CharacterNgrams, max_tokens: int
) -> tf.RaggedTensor:
    """String [batch, tokens]: the first of each text. What is no UTF-8 divides words."""
    decoded = tf.strings.unicode_decode(texts, "UTF-8")
    points, row, batch = decoded.flat_values, decoded.value_rowids(), decoded.nrows()
    inside = _is_in_word(points)
    follows = tf.concat([[False], inside[:-1] & (row[1:] == row[:-1])], 0)[: tf.size(points)]
    begins = inside & tf.logical_not(follows)
    word_row = tf.boolean_mask(row, begins)
    word = tf.boolean_mask(tf.cumsum(tf.cast(begins, tf.int64)) - 1, inside)
    word_length = tf.math.unsorted_segment_sum(
        tf.ones_like(word), word, tf.size(word_row, tf.int64)
    )
    points = tf.boolean_mask(points, inside)
    if tokenizer.lowercase:
        points = _lowercase(points)
    if isinstance(tokenizer, Words):
        starts, lengths, token_row = tf.cumsum(word_length, exclusive=True), word_length, word_row
    else:
        points, framed_length = _framed(points, word_length)
        count = tf.maximum(framed_length - tokenizer.size + 1, 1)
        starts = _ranges(tf.cumsum(framed_length, exclusive=True), count)
        lengths = tf.repeat(tf.minimum(framed_length, tokenizer.size), count)
        token_row = tf.repeat(word_row, count)
    kept = _rank(token_row, batch) < max_tokens
    starts, lengths = tf.boolean_mask(starts, kept), tf.boolean_mask(lengths, kept)
    spelled = ragged.from_row_lengths(
        tf.gather(points, _ranges(starts, lengths)), lengths, validate=False
    )
    return ragged.from_value_rowids(
        tf.strings.unicode_encode(spelled, "UTF-8"),
        tf.boolean_mask(token_row, kept),
        batch,
        validate=False,
    )


def _framed(points: tf.Tensor, word_length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The words' code points, each word between "<" and ">", and the lengths of these."""
    words = ragged.from_row_lengths(points, word_length, validate=False)
    frame = tf.ones([tf.size(word_length), 1], tf.int32)
    framed = tf.concat([_OPEN * frame, words, _CLOSE * frame], axis=1)
    return framed.flat_values, word_length + 2


def _rank(row: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Each one's place, from 0, among those of its row; `row` rises."""
    starts = tf.searchsorted(row, tf.range(rows), out_type=tf.int64)
    return tf.range(tf.size(row, tf.int64)) - tf.gather(starts, row)


def _ranges(starts: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """start, start + 1 … of each length, one after the other."""
    return tf.ragged.range(starts, starts + lengths).flat_values


def _is_in_word(points: tf.Tensor) -> tf.Tensor:
    boundaries = tf.constant(code_points.BOUNDARIES, tf.int32)
    return tf.searchsorted(boundaries, points, side="right") % 2 == 1


def _lowercase(points: tf.Tensor) -> tf.Tensor:
    first, last, step, distance = (
        tf.constant(column, tf.int32) for column in zip(*code_points.LOWERCASE, strict=True)
    )
    run = tf.maximum(tf.searchsorted(first, points, side="right") - 1, 0)
    beyond = points - tf.gather(first, run)
    changes = (
        (beyond >= 0)
        & (points <= tf.gather(last, run))
        & (tf.math.floormod(beyond, tf.gather(step, run)) == 0)
    )
    return tf.where(changes, points + tf.gather(distance, run), points)
