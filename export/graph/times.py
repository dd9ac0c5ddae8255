"""The times of a history's events in the graph of a served model: what a client sends → what the
lowered function takes.

A client sends whole seconds since 1970, int64 [batch, length], beside its histories; the function
takes, as training did (podway.framework.input.columns.elapsed), seconds since the first of the
events that are read, int32. Only differences matter to a model, so no clock and no zone does.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from podway.export.graph.features import MISSING_TIME
from podway.framework.schema.schema import PADDING


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
        read = latest(times)
    since = tf.clip_by_value(read - read[:, :1], np.int64(0), np.int64(tf.int32.max))
    return tf.cast(tf.where(latest(ids) == PADDING, np.int64(0), since), tf.int32)
