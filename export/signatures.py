"""The TensorFlow side of a served model: what a client sends → the lowered function → its answer.

    serving_default   history string [batch, length] → item string [batch, k], score f32 [batch, k]
    ids               history int64  [batch, length] → item int64  [batch, k], score f32 [batch, k]

History holds what the log has, oldest first. Rows of one batch are brought to one length with ""
(or 0), at either end or in between; any length will do, none as well. A value that the vocabulary
doesn't have becomes OUT_OF_VOCABULARY where training saw that id, else it is dropped. Only the
latest `max_history` values that remain are looked at. Where fewer than k items are left, the list
ends with "" (or 0) and recommend.LOWEST.

Each batch size is compiled when it is first met, so a batch is padded to the next of its buckets;
what exceeds the largest one goes through it in parts.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from export import lookup
from export.contract import Contract
from export.stablehlo import Program
from framework.schema import FIRST_VALUE, OUT_OF_VOCABULARY, PADDING, Vocabulary

SIGNATURES = ("serving_default", "ids")
PADDING_VALUES = {"serving_default": {"history": ""}, "ids": {"history": PADDING}}
"""What lengthens a row without effect, by signature and input: for servers that merge requests."""

Answer = dict[str, tf.Tensor]


class Recommender(tf.Module):
    """The signatures over one lowered function (recommend.recommend).

    Args:
      program: the lowered function.
      parameters: by path; stored as variables, so that a new version of the same shapes finds the
        compiled function of the old one.
      vocabulary: of the items.
      values: file with the serialised tensor of the vocabulary's values (`serialize`).
      contract: ids per row that the function takes, and the batch sizes that may be compiled.
    """

    def __init__(
        self,
        program: Program,
        parameters: dict[str, np.ndarray],
        vocabulary: Vocabulary,
        values: os.PathLike,
        contract: Contract,
    ):
        super().__init__()
        self._program = program
        self._length, self._buckets = contract.max_history, contract.batch_buckets
        self._items = len(vocabulary)
        self._unknown = OUT_OF_VOCABULARY if vocabulary.counts[OUT_OF_VOCABULARY] else PADDING
        # A flat list: paths with integers in them would not survive as attributes.
        self._weights = [
            tf.Variable(
                tf.convert_to_tensor(parameters[path]), trainable=False, name=f"weight_{index}"
            )
            for index, path in enumerate(program.weights)
        ]
        file = tf.saved_model.Asset(os.fspath(values))
        self._id = tf.lookup.StaticHashTable(
            lookup.Initializer(file, tf.string, tf.int64), self._unknown
        )
        self._value = tf.lookup.StaticHashTable(lookup.Initializer(file, tf.int64, tf.string), "")

    def signatures(self) -> dict[str, Callable[..., Answer]]:
        """Signature name → concrete function."""
        shape = [None, None]
        return {
            "serving_default": tf.function(
                self._from_values, autograph=False
            ).get_concrete_function(tf.TensorSpec(shape, tf.string, name="history")),
            "ids": tf.function(self._from_ids, autograph=False).get_concrete_function(
                tf.TensorSpec(shape, tf.int64, name="history")
            ),
        }

    def _from_values(self, history: tf.Tensor) -> Answer:
        scores, ids = self._recommend(self._id.lookup(history))
        return {"item": self._value.lookup(ids), "score": scores}

    def _from_ids(self, history: tf.Tensor) -> Answer:
        known = (history >= FIRST_VALUE) & (history < self._items)
        unknown = tf.where(history == PADDING, np.int64(PADDING), np.int64(self._unknown))
        scores, ids = self._recommend(tf.where(known, history, unknown))
        return {"item": ids, "score": scores}

    def _recommend(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        packed = pack(tf.cast(ids, tf.int32), self._length)
        scores, ids = self._in_buckets(packed)
        return scores, tf.cast(ids, tf.int64)

    def _in_buckets(self, ids: tf.Tensor) -> list[tf.Tensor]:
        """The function's results for any number of rows, in batches of the bucket sizes."""
        total, sizes = tf.shape(ids)[0], tf.constant(self._buckets)
        program = self._program

        def rows_left(start, *_):
            return start < total

        def one_batch(start, *results):
            rows = tf.minimum(total - start, self._buckets[-1])
            bucket = sizes[tf.searchsorted(sizes, rows[tf.newaxis])[0]]
            padded = tf.pad(ids[start : start + rows], [[0, bucket - rows], [0, 0]])
            answers = self._call(padded)
            joined = (
                tf.concat([result, answer[:rows]], axis=0)
                for result, answer in zip(results, answers, strict=True)
            )
            return (start + rows, *joined)

        empty = [
            tf.zeros([0, *shape[1:]], dtype)
            for dtype, shape in zip(program.dtypes, program.shapes, strict=True)
        ]
        shapes = [tf.TensorShape([]), *(tf.TensorShape(shape) for shape in program.shapes)]
        return tf.while_loop(rows_left, one_batch, [tf.constant(0), *empty], shapes)[1:]

    def _call(self, ids: tf.Tensor) -> list[tf.Tensor]:
        program = self._program
        results: Any = xla.call_module(
            [*self._weights, ids],
            version=program.calling_convention,
            module=program.module,
            Tout=program.dtypes,
            Sout=program.shapes,
            platforms=program.platforms,
        )
        for result, shape in zip(results, program.shapes, strict=True):
            result.set_shape(shape)
        return results


def pack(ids: tf.Tensor, length: int) -> tf.Tensor:
    """The latest `length` ids of each row that are not PADDING, in order, padded at the end."""
    kept = tf.cast(ids != PADDING, tf.int32)
    count = tf.reduce_sum(kept, axis=1, keepdims=True)
    place = tf.cumsum(kept, axis=1, exclusive=True) - tf.maximum(count - length, 0)
    source = tf.where((kept == 1) & (place >= 0))
    target = tf.stack([source[:, 0], tf.cast(tf.gather_nd(place, source), tf.int64)], axis=1)
    shape = tf.stack([tf.shape(ids, tf.int64)[0], length])
    return tf.ensure_shape(tf.scatter_nd(target, tf.gather_nd(ids, source), shape), [None, length])
