"""tf.Examples in, classifications and regressions out: Classify, Regress and MultiInference.

The signature takes "inputs", a string tensor of serialised tf.Examples. It gives "classes"
(strings) and "scores" (f32), or one of them, [b, classes]; or "outputs" (f32), [b] or [b, 1].
The checks, their order, codes and words are TensorFlow Serving's. Like it (by default), they look
at inputs and outputs, not at the method_name, which tf.saved_model.save cannot set.
"""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    regression_pb2,
)

from podway.export.server.error import INVALID_ARGUMENT, UNIMPLEMENTED, RequestError
from podway.export.server.limits import Limits
from podway.export.server.runtime.servable import DEFAULT_SIGNATURE, Servable, Signature

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"

INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"

Outputs = Mapping[str, np.ndarray]


def serialize(
    given: input_pb2.Input,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
) -> np.ndarray:
    """The serialised examples of a request, [b] of bytes. Raises RequestError.

    The context goes in front of each example: a feature that is in both is the example's.
    """
    kind = given.WhichOneof("kind")
    context = b""
    if kind == "example_list_with_context":
        context = given.example_list_with_context.context.SerializeToString()
    examples = getattr(given, kind).examples if kind else ()
    if not examples:
        raise RequestError(INVALID_ARGUMENT, "Input is empty.")
    limits.check_rows(len(examples))
    limits.check_bytes(len(context) * len(examples))  # each of them gets it
    array = np.empty(len(examples), object)
    array[:] = [context + example.SerializeToString() for example in examples]
    return array


def classifier(servable: Servable, name: str) -> Signature:
    """The signature of this name, as one that classifies. Raises RequestError."""
    return _signature(servable, name, check_classifier, "No signature was found with the name: {}")


def regressor(servable: Servable, name: str) -> Signature:
    """The signature of this name, as one that regresses. Raises RequestError."""
    return _signature(servable, name, check_regressor, "No signature was found with the name: {}")


def tasks(
    servable: Servable, request: inference_pb2.MultiInferenceRequest
) -> list[tuple[inference_pb2.InferenceTask, Signature]]:
    """What a MultiInference request asks for, each with its signature. Raises RequestError."""
    found: dict[str, tuple[inference_pb2.InferenceTask, Signature]] = {}
    model = ""
    for task in request.tasks:
        if not task.model_spec.name:
            raise _invalid("Found ModelSpec with an empty model name.")
        model = model or task.model_spec.name
        if model != task.model_spec.name:
            raise _invalid(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in found:
            raise _invalid(f"Duplicate evaluation of signature: {name}")
        check = _CHECKS.get(task.method_name)
        if name in servable.signature_defs and check is None:
            raise RequestError(
                UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}"
            )
        missing = "Requested signature not found in model graph: {}"
        found[name] = task, _signature(servable, name, check or check_classifier, missing)
    return list(found.values())


def check_classifier(definition: meta_graph_pb2.SignatureDef) -> None:
    """Raises RequestError unless the signature can classify."""
    if len(definition.inputs) != 1:
        raise _invalid("Expected one input Tensor.")
    if len(definition.outputs) not in (1, 2):
        raise _invalid(f"Expected one or two output Tensors, found {len(definition.outputs)}")
    if INPUTS not in definition.inputs:
        raise _invalid(f"No classification inputs found in SignatureDef: {definition}")
    if CLASSES not in definition.outputs and SCORES not in definition.outputs:
        raise _invalid(
            "Expected classification signature outputs to contain at least one of"
            f' "{CLASSES}" or "{SCORES}". Signature was: {definition}'
        )


def check_regressor(definition: meta_graph_pb2.SignatureDef) -> None:
    """Raises RequestError unless the signature can regress."""
    if len(definition.inputs) != 1:
        raise _invalid("Expected one input Tensor.")
    if len(definition.outputs) != 1:
        raise _invalid("Expected one output Tensor.")
    if INPUTS not in definition.inputs:
        raise _invalid(f"No regression inputs found in SignatureDef: {definition}")
    if OUTPUTS not in definition.outputs:
        raise _invalid(f"No regression outputs found in SignatureDef: {definition}")


_CHECKS = {CLASSIFY: check_classifier, REGRESS: check_regressor}


def classifications(rows: int, outputs: Outputs) -> classification_pb2.ClassificationResult:
    """A classifier's outputs for this many examples. Raises RequestError."""
    classes, scores = outputs.get(CLASSES), outputs.get(SCORES)
    _check_classes(CLASSES, classes, rows, tf.string)
    _check_classes(SCORES, scores, rows, tf.float32)
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise _invalid(
            "Tensors class and score should match in dim_size(1). Got"
            f" {classes.shape[1]} vs. {scores.shape[1]}"
        )
    result = classification_pb2.ClassificationResult()
    width = next(array.shape[1] for array in (classes, scores) if array is not None)
    labels = _labels(classes) if classes is not None else [[""] * width] * rows
    values = scores.tolist() if scores is not None else [[0.0] * width] * rows
    for row_labels, row_values in zip(labels, values, strict=True):
        add = result.classifications.add().classes.add
        for label, value in zip(row_labels, row_values, strict=True):
            add(label=label, score=value)
    return result


def regressions(rows: int, outputs: Outputs) -> regression_pb2.RegressionResult:
    """A regressor's output for this many examples. Raises RequestError."""
    array = outputs[OUTPUTS]
    if not (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        raise _invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got"
            f" {_shape(array)}"
        )
    if len(array) != rows:
        raise _invalid(f"Input batch size did not match output batch size: {rows} vs. {len(array)}")
    if array.dtype != np.float32:
        raise _invalid(f"Expected output Tensor of DT_FLOAT.  Got: {_type(array)}")
    result = regression_pb2.RegressionResult()
    for value in array.ravel().tolist():
        result.regressions.add(value=value)
    return result


def _signature(
    servable: Servable,
    name: str,
    check: Callable[[meta_graph_pb2.SignatureDef], None],
    missing: str,
) -> Signature:
    name = name or DEFAULT_SIGNATURE
    definition = servable.signature_defs.get(name)
    if definition is None:
        raise _invalid(missing.format(name))
    check(definition)
    return servable.signature(name)


def _check_classes(name: str, array: np.ndarray | None, rows: int, dtype: tf.DType) -> None:
    if array is None:
        return
    if array.ndim != 2:
        raise _invalid(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}")
    if tf.as_dtype(array.dtype) != dtype:
        wanted = "DT_STRING" if dtype == tf.string else "DT_FLOAT"
        raise _invalid(f"Expected {name} Tensor of {wanted}. Got: {_type(array)}")
    if len(array) != rows:
        raise _invalid(f"Expected {name} output batch size of {rows}. Got: {len(array)}")


def _labels(classes: np.ndarray) -> Sequence[Sequence[str]]:
    """Labels as text: the proto's field holds UTF-8 only."""
    return [[label.decode("utf-8", "replace") for label in row] for row in classes]


def _shape(array: np.ndarray) -> str:
    return "[" + ",".join(map(str, array.shape)) + "]"


def _type(array: np.ndarray) -> str:
    return types_pb2.DataType.Name(tf.as_dtype(array.dtype).as_datatype_enum)


def _invalid(message: str) -> RequestError:
    return RequestError(INVALID_ARGUMENT, message)
