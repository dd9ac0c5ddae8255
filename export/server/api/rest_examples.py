"""The JSON of TensorFlow Serving's REST classify and regress API ↔ its protos.

{"examples": [{FEATURE: value or list, …}, …], "context": {FEATURE: …}, "signature_name": …} →
{"results": […]}: a list of [label, score] for each example, or a number for each.
"""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

from typing import Any

import numpy as np
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from podway.export.server.api import rest_json
from podway.export.server.api.aside import Check, unchecked
from podway.export.server.error import INVALID_ARGUMENT, RequestError
from podway.export.server.limits import Limits

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def parse(
    body: bytes,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    waits: Check = unchecked,
) -> tuple[str, input_pb2.Input]:
    """The signature's name ("": the default) and the examples of a body. Raises RequestError."""
    document = rest_json.load(body, limits, waits)
    name = rest_json.signature_name(document)
    given = input_pb2.Input()
    into: Any = given.example_list
    if "context" in document:
        into = given.example_list_with_context
        _example(document["context"], into.context)
    shown = f"JSON Value: {rest_json.show(document)}"
    if "examples" not in document:
        raise _invalid(
            f"{shown} When method is classify, key 'examples' is expected and was not found"
        )
    if not isinstance(document["examples"], list):
        raise _invalid(f"{shown} Expecting 'examples' value to be an list/array")
    if not document["examples"]:
        raise _invalid(f"{shown} 'examples' value is an empty array")
    limits.check_rows(len(document["examples"]))
    for example in document["examples"]:
        waits()
        _example(example, into.examples.add())
    return name, given


def classifications(result: classification_pb2.ClassificationResult) -> bytes:
    """The body of a classification's answer."""
    rows = [[[c.label, _number(c.score)] for c in row.classes] for row in result.classifications]
    return rest_json.dump({"results": rows})


def regressions(result: regression_pb2.RegressionResult) -> bytes:
    """The body of a regression's answer."""
    return rest_json.dump({"results": [_number(row.value) for row in result.regressions]})


def _example(value: Any, example: example_pb2.Example) -> None:
    """Writes an object of features into an example."""
    if not isinstance(value, dict):
        raise _invalid(f"Example must be JSON object but got JSON {_type(value)}")
    for name, content in value.items():
        feature = example.features.feature[name]  # one of an empty list is there, without a kind
        for element in content if isinstance(content, list) else [content]:
            kind, item = _element(name, element)
            found = feature.WhichOneof("kind")
            if found not in (None, kind):
                raise _invalid(
                    f"Unexpected element type in feature: {name} expecting type: {_KINDS[found]}"
                )
            _append(feature, kind, item)


def _element(name: str, value: Any) -> tuple[str, Any]:
    """The field of a Feature that holds a JSON value, and what to put there."""
    if isinstance(value, bool):
        return "int64_list", int(value)
    if isinstance(value, str) or rest_json.is_base64(value):
        try:
            return "bytes_list", rest_json.to_bytes(value)
        except TypeError as error:
            raise _invalid(str(error)) from error
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 64:
        if value >= 1 << 63:
            raise _invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        return "int64_list", value
    if isinstance(value, int | float):  # and integers beyond 64 bits, as TensorFlow Serving does
        return "float_list", value
    raise _invalid(f"Feature: {name} has element with unexpected JSON type: {_type(value)}")


def _append(feature: feature_pb2.Feature, kind: str, item: Any) -> None:
    with np.errstate(over="ignore"):  # beyond f32: infinity
        getattr(feature, kind).value.append(np.float32(item) if kind == "float_list" else item)


def _number(value: float) -> float:
    """A float32 as the shortest decimal that reads back as the same one."""
    return float(str(np.float32(value)))


def _type(value: Any) -> str:
    """RapidJSON's name of a JSON value's type."""
    if isinstance(value, bool):
        return str(value)
    names = {dict: "Object", list: "Array", str: "String", type(None): "Null"}
    return names.get(type(value), "Number")


def _invalid(message: str) -> RequestError:
    return RequestError(INVALID_ARGUMENT, message)
