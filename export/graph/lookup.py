"""Vocabularies in a SavedModel: an asset with all values, and tables that are filled from it."""

import pathlib

import tensorflow as tf

from podway.framework.schema.schema import FIRST_VALUE, OUT_OF_VOCABULARY, PADDING, Vocabulary


class Initializer(tf.Module):
    """Fills a StaticHashTable from a file of one serialised string tensor, row = id.

    TensorFlow's own text initialiser ends a value at a newline; this takes any bytes.
    """

    def __init__(self, file: tf.saved_model.Asset, key_dtype: tf.DType, value_dtype: tf.DType):
        super().__init__()
        self.key_dtype, self.value_dtype = key_dtype, value_dtype
        self._file = file

    @property
    def _shared_name(self) -> str:
        return ""  # StaticHashTable then makes up a unique one

    def initialize(self, table: tf.lookup.StaticHashTable) -> tf.Operation:
        """The operation that fills the table. The two kept rows become one: "" ↔ PADDING."""
        values = tf.io.parse_tensor(tf.io.read_file(self._file.asset_path), tf.string)
        ids = tf.range(tf.size(values, tf.int64), dtype=tf.int64)
        keep = tf.where((ids == PADDING) | (ids >= FIRST_VALUE))[:, 0]
        values, ids = tf.gather(values, keep), tf.gather(ids, keep)
        keys, values = (values, ids) if self.key_dtype == tf.string else (ids, values)
        return tf.raw_ops.LookupTableImportV2(
            table_handle=table.resource_handle, keys=keys, values=values
        )


def write(vocabulary: Vocabulary, file: pathlib.Path) -> tf.lookup.StaticHashTable:
    """The table value → id of a vocabulary, whose values are written as an asset.

    "" is PADDING, what the vocabulary does not have OUT_OF_VOCABULARY.
    """
    file.write_bytes(tf.io.serialize_tensor(list(vocabulary.values)).numpy())
    asset = tf.saved_model.Asset(str(file))
    return tf.lookup.StaticHashTable(Initializer(asset, tf.string, tf.int64), OUT_OF_VOCABULARY)
