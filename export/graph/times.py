"""Times in the graph of a served model: what a client sends → what the lowered function takes.

Every client sends whole seconds since 1970, int64. What lies beyond the year 5000 is surely in
another unit, and refused. A model of rows is given microseconds, as its dataset has them. A
recommender is given, as in training (podway.framework.input.columns.elapsed), seconds since the
first of the events that are read, int32 [batch, length]: only differences matter to it.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from podway.export.graph.features import MISSING_TIME
from podway.framework.schema.schema import PADDING

LATEST = 3030 * 31_556_952
"""Seconds from 1970 to the year 5000; milliseconds of any day after January 1973 are more."""


def check_unit(times: tf.Tensor) -> tf.Tensor:
    """The times. Fails, when it runs, where one that is there cannot be in seconds."""
    beyond = (times != MISSING_TIME) & ((times > LATEST) | (times < -LATEST))
    check = tf.debugging.Assert(
        tf.logical_not(tf.reduce_any(beyond)),
        [
            "times are whole seconds since 1970, and this one lies beyond the year 5000; is it in"
            " milliseconds or microseconds?",
            tf.boolean_mask(times, beyond)[:1],
        ],
    )
    with tf.control_dependencies([check]):
        return tf.identity(times)


def microseconds(seconds: tf.Tensor) -> tf.Tensor:
    """What the features of rows are made of; MISSING_TIME stays."""
    seconds = check_unit(seconds)
    return tf.where(seconds == MISSING_TIME, seconds, seconds * 1_000_000)


def check_shape(times: tf.Tensor, history: tf.Tensor) -> tf.Tensor:
    """The times. Fails, when it runs, where they have another shape than the histories."""
    own, wanted = tf.shape(times), tf.shape(history)
    check = tf.debugging.Assert(
        tf.reduce_all(own == wanted),
        ["times has another shape than history; give each event its time:", own, wanted],
    )
    with tf.control_dependencies([check]):
        return tf.identity(times)


def elapsed(
    times: tf.Tensor, ids: tf.Tensor, latest: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """What the lowered function takes, int32 [batch, length]; 0 where there is no event.

    Args:
      times: int64 [batch, columns]; MISSING_TIME, with which servers lengthen rows, where there is
        none, which fails at an event.
      ids: of the histories' events, [batch, columns]; PADDING where there is none.
      latest: (values [batch, columns]) → those of the events that are read [batch, length].
    """
    without = tf.reduce_any((ids != PADDING) & (times == MISSING_TIME))
    check = tf.debugging.Assert(
        tf.logical_not(without), ["times has no value for an event of history"]
    )
    with tf.control_dependencies([check]):
        read = latest(check_unit(times))
    since = tf.clip_by_value(read - read[:, :1], np.int64(0), np.int64(tf.int32.max))
    return tf.cast(tf.where(latest(ids) == PADDING, np.int64(0), since), tf.int32)
