"""Text in parts, in TensorFlow's operations: does what beam/features/text.py does in NumPy."""

from typing import Any

import tensorflow as tf

from podway.framework.config.features import CharacterNgrams, Words
from podway.framework.schema import code_points
from podway.framework.schema.schema import FIRST_VALUE, PADDING

ragged: Any = tf.RaggedTensor  # whose constructors a type checker does not see
_OPEN, _CLOSE = ord("<"), ord(">")


def divide(texts: tf.Tensor, separator: str) -> tf.RaggedTensor:
    """String [batch, parts], without the empty ones."""
    parts = tf.strings.split(texts, separator)
    kept = parts.flat_values != ""
    return ragged.from_value_rowids(
        tf.boolean_mask(parts.flat_values, kept),
        tf.boolean_mask(_row_ids(parts), kept),
        parts.nrows(),
        validate=False,
    )


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
    points, row, batch = decoded.flat_values, _row_ids(decoded), decoded.nrows()
    inside = _is_in_word(points)
    follows = tf.concat([[False], inside[:-1] & (row[1:] == row[:-1])], 0)[: tf.size(points)]
    begins = inside & tf.logical_not(follows)
    word_row = tf.boolean_mask(row, begins)
    word = tf.boolean_mask(tf.cumsum(tf.cast(begins, tf.int64)) - 1, inside)
    word_length = tf.math.unsorted_segment_sum(
        tf.ones_like(word), word, tf.size(word_row, tf.int64)
    )
    kept = _rank(word_row, batch) < max_tokens  # each word has a token at least
    starts = tf.boolean_mask(tf.cumsum(word_length, exclusive=True), kept)
    word_row, word_length = tf.boolean_mask(word_row, kept), tf.boolean_mask(word_length, kept)
    points = tf.gather(tf.boolean_mask(points, inside), _ranges(starts, word_length))
    if tokenizer.lowercase:
        points = _lowercase(points)
    words = ragged.from_row_lengths(points, word_length, validate=False)
    if isinstance(tokenizer, CharacterNgrams):
        words, word_row = _ngrams(words, word_row, tokenizer.size)
        kept = _rank(word_row, batch) < max_tokens
        words, word_row = tf.ragged.boolean_mask(words, kept), tf.boolean_mask(word_row, kept)
    spelled = tf.strings.unicode_encode(words, "UTF-8")
    return ragged.from_value_rowids(spelled, word_row, batch, validate=False)


def _ngrams(
    words: tf.RaggedTensor, word_row: tf.Tensor, size: int
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """The code points of the words' n-grams, int32 [n-grams, points], and the rows of these."""
    frame: Any = tf.ones([tf.size(word_row), 1], tf.int32)
    framed = tf.concat([_OPEN * frame, words, _CLOSE * frame], axis=1)
    lengths, starts = framed.row_lengths(), framed.row_starts()
    firsts = tf.ragged.range(starts, starts + tf.maximum(lengths - size + 1, 1))
    word, firsts = _row_ids(firsts), firsts.flat_values
    ends = firsts + tf.gather(tf.minimum(lengths, size), word)
    grams = tf.ragged.range(firsts, ends)
    grams = grams.with_flat_values(tf.gather(framed.flat_values, grams.flat_values))
    return grams, tf.gather(word_row, word)


def _row_ids(rows: tf.RaggedTensor) -> tf.Tensor:
    """The row of each value. TensorFlow's own makes a matrix of all rows by the longest one."""
    values = tf.range(tf.size(rows.flat_values, tf.int64))
    return tf.searchsorted(rows.row_splits, values, side="right", out_type=tf.int64) - 1


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
