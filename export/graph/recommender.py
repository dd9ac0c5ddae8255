"""The TensorFlow side of a served model: what a client sends → the lowered function → its answer.

    serving_default   history string [batch, length] → item string [batch, k], score f32 [batch, k]
    ids               history int64  [batch, length] → item int64  [batch, k], score f32 [batch, k]
    examples          examples string [batch], serialised tf.Examples with a feature `history`, a
                      bytes_list → as serving_default
    filtered          as serving_default, with allow and deny, string [batch, any], beside history:
                      only items of `allow` are recommended, all where a row has none there, and
                      none of `deny`; where export.candidate_filter asks for it

Each signature also has an output of its name for each of export.answers, string [batch, k]: these
attributes of the items, "" where an item has none.

Where the model reads times, each signature has an input `times` beside history, int64 [batch,
length], seconds since 1970 (export/graph/times.py); the Examples, an int64_list.

History holds what the log has, oldest first. Rows of one batch are brought to one length with ""
(or 0), at either end or in between; any length will do, none as well. A value that the vocabulary
doesn't have becomes OUT_OF_VOCABULARY where training saw that id, else it is dropped. Only the
latest `max_history` values that remain are looked at. Where fewer than k items are left, the list
ends with "" (or 0) and LOWEST. Batches: export/graph/lowered.py.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from podway.export.contract import Contract
from podway.export.graph import examples, lookup, times
from podway.export.graph.classify_regress import EXAMPLES
from podway.export.graph.features import MISSING_TIME
from podway.export.graph.lowered import LoweredModule, weights
from podway.export.lowering.stablehlo import LoweredFunction
from podway.framework.schema.schema import FIRST_VALUE, OUT_OF_VOCABULARY, PADDING, Vocabulary

_PADDING_VALUES = {
    "serving_default": {"history": ""},
    "ids": {"history": PADDING},
    "filtered": {"history": "", "allow": "", "deny": ""},
}

Answer = dict[str, tf.Tensor]
Times = tf.Tensor | None


def names(contract: Contract) -> tuple[str, ...]:
    """The signatures that a recommender has."""
    optional = ("filtered",) if contract.candidate_filter else ()
    return ("serving_default", "ids", EXAMPLES, *optional)


def padding(contract: Contract) -> dict[str, dict[str, str | int]]:
    """What lengthens a row without effect, by signature and input: for servers that merge requests.

    A request whose times are fewer than its events then fails as it does alone.
    """
    timed = {"times": MISSING_TIME} if contract.times else {}
    offered = names(contract)
    return {name: values | timed for name, values in _PADDING_VALUES.items() if name in offered}


class RecommenderModule(tf.Module):
    """The signatures over one lowered function (export/lowering/recommender.py).

    Args:
      function: the lowered function, of histories, with times where contract.times says so.
      filtered: the same, with which items are allowed; None: no such signature.
      parameters: by path.
      vocabulary: of the items.
      values: file with the serialised tensor of the vocabulary's values (`serialize`).
      contract: ids per row that the function takes, and the batch sizes that may be compiled.
      attributes: of the items, which are answered beside each, by name: files as `values`.
    """

    def __init__(
        self,
        function: LoweredFunction,
        filtered: LoweredFunction | None,
        parameters: dict[str, np.ndarray],
        vocabulary: Vocabulary,
        values: os.PathLike,
        contract: Contract,
        attributes: Mapping[str, os.PathLike],
    ):
        super().__init__()
        self._length, self._timed = contract.max_history, contract.times
        self._items = len(vocabulary)
        self._unknown = OUT_OF_VOCABULARY if vocabulary.counts[OUT_OF_VOCABULARY] else PADDING
        shared = weights(filter(None, (function, filtered)), parameters)
        self._lowered = LoweredModule(function, shared, contract.batch_buckets)
        if filtered:
            self._filtered = LoweredModule(filtered, shared, contract.batch_buckets)
        self._filters = bool(filtered)
        file = tf.saved_model.Asset(os.fspath(values))
        self._id = tf.lookup.StaticHashTable(
            lookup.Initializer(file, tf.string, tf.int64), self._unknown
        )
        # One function in the graph, which all signatures call and which is compiled once.
        rows = [tf.TensorSpec([None, None], tf.int64)] * (1 + contract.times)
        self._recommend = tf.function(self._best, input_signature=rows, autograph=False)
        self._value = _texts(file)
        self._names = tuple(attributes)
        self._texts = [_texts(tf.saved_model.Asset(os.fspath(x))) for x in attributes.values()]

    def signatures(self) -> dict[str, Callable[..., Answer]]:
        """Signature name → concrete function."""

        def concrete(function: Callable[..., Answer], dtype: tf.DType, *names: str) -> Any:
            types = dict.fromkeys(names, dtype) | ({"times": tf.int64} if self._timed else {})
            specs = {name: tf.TensorSpec([None, None], kind, name) for name, kind in types.items()}
            return tf.function(function, autograph=False).get_concrete_function(**specs)

        serialized = tf.TensorSpec([None], tf.string, EXAMPLES)
        from_examples = tf.function(self._from_examples, autograph=False)
        found = {
            "serving_default": concrete(self._from_values, tf.string, "history"),
            "ids": concrete(self._from_ids, tf.int64, "history"),
            EXAMPLES: from_examples.get_concrete_function(serialized),
        }
        if self._filters:
            found["filtered"] = concrete(self._from_filtered, tf.string, "history", "allow", "deny")
        return found

    def _from_examples(self, serialized: tf.Tensor) -> Answer:
        if self._timed:
            return self._from_values(*examples.timed_history(serialized, "history", "times"))
        return self._from_values(examples.history(serialized, "history"))

    def _from_values(self, history: tf.Tensor, times: Times = None) -> Answer:
        scores, ids = self._recommend(self._id.lookup(history), *_given(times))
        return self._answer(ids, self._value.lookup(ids), scores)

    def _from_filtered(
        self, history: tf.Tensor, allow: tf.Tensor, deny: tf.Tensor, times: Times = None
    ) -> Answer:
        asked = tf.reduce_any(allow != "", axis=1, keepdims=True)
        allowed = self._among(allow) | tf.logical_not(asked)
        allowed &= tf.logical_not(self._among(deny))
        read = self._read(self._id.lookup(history), times)
        scores, ids = self._filtered(*read, tf.ensure_shape(allowed, [None, self._items]))
        ids = tf.cast(ids, tf.int64)
        return self._answer(ids, self._value.lookup(ids), scores)

    def _among(self, values: tf.Tensor) -> tf.Tensor:
        """Which rows of the vocabulary are among the values: bool [batch, rows]."""
        ids = self._id.lookup(values)
        batch = tf.shape(ids, tf.int64)[0]
        indices = tf.stack([tf.zeros_like(ids) + tf.range(batch)[:, None], ids], axis=2)
        found = tf.zeros(tf.stack([batch, self._items]), tf.bool)
        return tf.tensor_scatter_nd_update(found, indices, tf.ones(tf.shape(ids), tf.bool))

    def _from_ids(self, history: tf.Tensor, times: Times = None) -> Answer:
        known = (history >= FIRST_VALUE) & (history < self._items)
        unknown = tf.where(history == PADDING, np.int64(PADDING), np.int64(self._unknown))
        scores, ids = self._recommend(tf.where(known, history, unknown), *_given(times))
        return self._answer(ids, ids, scores)

    def _answer(self, ids: tf.Tensor, items: tf.Tensor, scores: tf.Tensor) -> Answer:
        texts = [table.lookup(ids) for table in self._texts]
        return {"item": items, "score": scores, **dict(zip(self._names, texts, strict=True))}

    def _best(self, ids: tf.Tensor, times: Times = None) -> tuple[tf.Tensor, tf.Tensor]:
        scores, ids = self._lowered(*self._read(ids, times))
        return scores, tf.cast(ids, tf.int64)

    def _read(self, ids: tf.Tensor, given: Times) -> list[tf.Tensor]:
        """What the lowered function takes of histories, as ids, and of their times."""
        ids = tf.cast(ids, tf.int32)
        latest = latest_of(ids, self._length)
        if given is None:
            return [latest(ids)]
        return [latest(ids), times.elapsed(times.check_shape(given, ids), ids, latest)]


def _texts(file: tf.saved_model.Asset) -> tf.lookup.StaticHashTable:
    """The table id → text of a file."""
    return tf.lookup.StaticHashTable(lookup.Initializer(file, tf.int64, tf.string), "")


def _given(times: Times) -> list[tf.Tensor]:
    return [] if times is None else [times]


def pack(ids: tf.Tensor, length: int) -> tf.Tensor:
    """The latest `length` ids of each row that are not PADDING, in order, padded at the end."""
    return latest_of(ids, length)(ids)


def latest_of(ids: tf.Tensor, length: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function that keeps of values [batch, columns] those beside what `pack` keeps, likewise."""
    kept = tf.cast(ids != PADDING, tf.int32)
    count = tf.reduce_sum(kept, axis=1, keepdims=True)
    position = tf.cumsum(kept, axis=1, exclusive=True) - tf.maximum(count - length, 0)
    source = tf.where((kept == 1) & (position >= 0))
    target = tf.stack([source[:, 0], tf.cast(tf.gather_nd(position, source), tf.int64)], axis=1)
    shape = tf.stack([tf.shape(ids, tf.int64)[0], length])

    def latest(values: tf.Tensor) -> tf.Tensor:
        kept = tf.scatter_nd(target, tf.gather_nd(values, source), shape)
        return tf.ensure_shape(kept, [None, length])

    return latest
