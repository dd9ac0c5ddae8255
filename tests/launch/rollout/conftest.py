"""Versions of a model in plain TensorFlow, good and bad ones, published as an export publishes."""

import functools
import pathlib

import tensorflow as tf

from podway.export.versions import publish

FAULTS = ("good", "nan", "slow", "empty", "worthless", "broken")


@functools.cache
def built(folder: pathlib.Path, fault: str) -> pathlib.Path:
    """A SavedModel: history string [b, t] → item string [b, 2], score f32 [b, 2].

    The first item says what the version is worth: "i1", or of a worthless one "i0". A slow version
    takes some 100 ms; a broken one is no SavedModel.
    """
    target = folder / fault
    if fault == "broken":
        target.mkdir(parents=True)
        (target / "saved_model.pb").write_bytes(b"\x00 no SavedModel")
        return target

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string, name="history")])
        def recommend(self, history):
            rows = tf.shape(history)[0]
            # A score that depends on who asks, as scores do.
            hashed = tf.strings.to_hash_bucket_fast(tf.strings.reduce_join(history, 1), 1000)
            score = 0.5 + tf.cast(hashed, tf.float32) / 2000
            if fault == "nan":
                score = tf.math.log(-score)
            if fault == "slow":
                start = (tf.constant(0), tf.random.stateless_uniform([300, 300], [0, 0]))
                _, matrix = tf.while_loop(
                    lambda turn, _: turn < 40,
                    lambda turn, each: (turn + 1, tf.linalg.matmul(each, each) / 300),
                    start,
                )
                score += tf.cast(matrix[0, 0] < -1, tf.float32)
            item = {"empty": "", "worthless": "i0"}.get(fault, "i1")
            items = tf.fill([rows, 2], item)
            return {"item": items, "score": tf.stack([score, score - 0.1], 1)}

    model = Model()
    tf.saved_model.save(model, str(target), signatures={"serving_default": model.recommend})
    return target


def put(workdir: pathlib.Path, folder: pathlib.Path, fault: str, name: str = "m") -> int:
    """Publishes a version. Returns its number."""
    given = {"version": "v", "config": {}, "inputs": {}, "code": "c"}
    details = {"verified": "in a test"}
    place = publish.publish(
        built(folder, fault), name=name, workdir=workdir, details=details, **given
    )
    return int(place.name)
