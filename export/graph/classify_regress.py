"""The signatures of a served model of rows, and TensorFlow Serving's Classify and Regress.

    serving_default    an input per raw column → {label: answer}
    examples           `examples`, serialised tf.Examples → the same
    classify           of the first label that is Binary or Classes: `inputs`, the same Examples →
                       `classes` string [batch, classes], the labels' values ("0", "1", …), and
                       `scores` f32 [batch, classes], their probabilities
    regress            of the first Regression, else of the first Binary: `inputs` → `outputs` f32
                       [batch], the number, or the probability of 1
    classify_LABEL, regress_LABEL
                       the same of each further label that suits

A client reaches the last four through Classify and Regress, by naming the signature.
"""

import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Literal

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.saved_model import fingerprinting_utils

from podway.export.contract import Kind
from podway.export.graph import examples
from podway.export.graph.examples import Column

NAMES: dict[str, str] = {
    method: f"tensorflow/serving/{method}" for method in ("classify", "regress")
}
"""What TensorFlow Serving's APIs take a signature for: its method_name."""

SIGNATURE = "serving_default"
EXAMPLES = "examples"
INPUTS = "inputs"
"""What TensorFlow Serving calls the Examples of Classify and Regress."""

Method = Literal["classify", "regress"]
Answer = dict[str, tf.Tensor]


def methods(labels: Mapping[str, Kind]) -> dict[str, tuple[Method, str]]:
    """Signature → the API that it answers to, and its label."""
    classes = [label for label, kind in labels.items() if kind != "number"]
    numbers = [label for label, kind in labels.items() if kind == "number"]
    numbers += [label for label, kind in labels.items() if kind == "binary"]
    found: dict[str, tuple[Method, str]] = {}
    suiting: dict[Method, list[str]] = {"classify": classes, "regress": numbers}
    for method, names in suiting.items():
        if names:
            found[method] = (method, names[0])
        found |= {f"{method}_{name}": (method, name) for name in names[1:]}
    return found


def make(
    predict: Callable[..., Answer], columns: Mapping[str, Column], labels: Mapping[str, Kind]
) -> dict[str, Callable[..., Answer]]:
    """All signatures as concrete functions, of the first of them."""

    def answers(serialized: tf.Tensor) -> Answer:
        return predict(**examples.parse(serialized, columns))

    def from_examples(examples: tf.Tensor) -> Answer:
        return answers(examples)

    made = {SIGNATURE: predict, EXAMPLES: _concrete(from_examples, EXAMPLES)}
    for name, (method, label) in methods(labels).items():
        made[name] = _concrete(_method(answers, method, label, labels[label]), INPUTS)
    return made


def _method(
    answers: Callable[[tf.Tensor], Answer], method: Method, label: str, kind: Kind
) -> Callable[..., Answer]:
    def classify(inputs: tf.Tensor) -> Answer:
        scores = answers(inputs)[label]
        if kind == "binary":
            scores = tf.stack([1 - scores, scores], axis=1)
        names = tf.constant([str(number) for number in range(int(scores.shape[1] or 0))])
        return {"classes": tf.broadcast_to(names, tf.shape(scores)), "scores": scores}

    def regress(inputs: tf.Tensor) -> Answer:
        return {"outputs": answers(inputs)[label]}

    return classify if method == "classify" else regress


def _concrete(function: Callable[..., Answer], name: str) -> Callable[..., Answer]:
    spec = tf.TensorSpec([None], tf.string, name=name)
    return tf.function(function, autograph=False).get_concrete_function(spec)


def write_methods(directory: os.PathLike, methods: Mapping[str, tuple[Method, str]]) -> None:
    """Sets the method of signatures in saved_model.pb, and renews fingerprint.pb.

    tf.saved_model.save sets it to that of Predict, always. A request for Classify or Regress is
    refused unless the signature names that method; Predict takes any of the three.
    """
    path = pathlib.Path(directory) / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for meta in model.meta_graphs:
        for signature, (method, _) in methods.items():
            meta.signature_def[signature].method_name = NAMES[method]
    path.write_bytes(model.SerializeToString(deterministic=True))
    fingerprinting_utils.write_fingerprint(os.fspath(directory))
