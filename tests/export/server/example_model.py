"""A model that takes tf.Examples, as TensorFlow's Estimators exported them, and a server of it."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import input_pb2

from tests.export.server.conftest import Client, Site, running

CLASSIFY, REGRESS, PREDICT = (
    f"tensorflow/serving/{method}" for method in ("classify", "regress", "predict")
)


def write_model(directory: pathlib.Path) -> None:
    """A SavedModel whose values can be worked out by hand.

    Features: x f32 [2]; bias f32, 0 where it is missing; tag, any number of strings.

    serving_default  classes (first tag or "none", "b"), scores x
    classes, scores  the one of them
    regress          outputs [b]: 2 x[0] + x[1] + bias
    column           the same, [b, 1]
    tf2              the same, under the method name that tf.saved_model.save gives
    predict          x → y: the plain tensor, doubled
    odd_…            what cannot be answered, in one way each
    """
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        given = v1.placeholder(tf.string, [None], name="examples")
        parsed: dict[str, Any] = tf.io.parse_example(
            given,
            {
                "x": tf.io.FixedLenFeature([2], tf.float32),
                "bias": tf.io.FixedLenFeature([], tf.float32, default_value=0.0),
                "tag": tf.io.RaggedFeature(tf.string),
            },
        )
        x, bias = parsed["x"], parsed["bias"]
        first = parsed["tag"].to_tensor(default_value="none", shape=[None, 1])
        classes = tf.concat([first, tf.fill(tf.shape(first), "b")], 1)
        total = 2 * x[:, 0] + x[:, 1] + bias
        plain = v1.placeholder(tf.float32, [None], name="plain")
        latin = tf.fill(tf.shape(first), tf.constant(b"caf\xe9"))

        def signature(method: str, outputs: dict[str, Any], inputs: dict | None = None):
            info = v1.saved_model.build_tensor_info
            build = v1.saved_model.build_signature_def
            return build(
                {name: info(value) for name, value in (inputs or {"inputs": given}).items()},
                {name: info(value) for name, value in outputs.items()},
                method,
            )

        both = {"classes": classes, "scores": x}
        signatures = {
            "serving_default": signature(CLASSIFY, both),
            "classes": signature(CLASSIFY, {"classes": classes}),
            "scores": signature(CLASSIFY, {"scores": x}),
            "regress": signature(REGRESS, {"outputs": total}),
            "column": signature(REGRESS, {"outputs": total[:, tf.newaxis]}),
            "tf2": signature(PREDICT, {"outputs": total}),
            "predict": signature(PREDICT, {"y": plain * 2}, {"x": plain}),
            "odd_same": signature(PREDICT, {"y": plain}, {"x": plain}),
            "odd_inputs": signature(CLASSIFY, both, {"inputs": given, "x": plain}),
            "odd_name": signature(CLASSIFY, both, {"examples": given}),
            "odd_plain": signature(REGRESS, {"outputs": plain * 2}, {"inputs": plain}),
            "odd_outputs": signature(CLASSIFY, {"probabilities": x}),
            "odd_rank": signature(CLASSIFY, {"scores": total}),
            "odd_type": signature(CLASSIFY, {"scores": tf.cast(x, tf.float64)}),
            "odd_classes": signature(CLASSIFY, {"classes": x}),
            "odd_rows": signature(CLASSIFY, {"scores": x[:1]}),
            "odd_width": signature(CLASSIFY, {"classes": first, "scores": x}),
            "odd_text": signature(CLASSIFY, {"classes": latin}),
            "odd_regress_rank": signature(REGRESS, {"outputs": x}),
            "odd_regress_rows": signature(REGRESS, {"outputs": total[:1]}),
            "odd_regress_type": signature(REGRESS, {"outputs": tf.cast(total, tf.float64)}),
        }
        builder = v1.saved_model.Builder(str(directory))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()


def example(**features: Any) -> tf.train.Example:
    """An example of lists of floats, or of strings."""
    result = tf.train.Example()
    for name, values in features.items():
        feature = result.features.feature[name]
        if values and isinstance(values[0], str):
            feature.bytes_list.value.extend(value.encode() for value in values)
        elif values:
            feature.float_list.value.extend(values)
    return result


def given(*examples: tf.train.Example, context: tf.train.Example | None = None):
    """An Input of these examples."""
    if context is None:
        return input_pb2.Input(example_list=input_pb2.ExampleList(examples=examples))
    return input_pb2.Input(
        example_list_with_context=input_pb2.ExampleListWithContext(
            examples=examples, context=context
        )
    )


@contextlib.contextmanager
def served(root: pathlib.Path, **options: Any) -> Iterator[Client]:
    """A server of the model, as m version 1."""
    (root / "m").mkdir()
    write_model(root / "m" / "1")
    site = Site(root, {})
    site.ask_for_versions(1)
    with running(site, **options) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        yield client
