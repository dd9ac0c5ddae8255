"""The JSON of TensorFlow Serving's REST predict API ↔ NumPy.

Row format: {"instances": […]} → {"predictions": […]}, one element a row. Columnar format:
{"inputs": …} → {"outputs": …}. A signature with one input (output) may leave out its name. Bytes
are {"b64": "…"}; an output whose name ends in "_bytes" is written so.
"""

import base64
import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from podway.export.server.api import large_json, shortest
from podway.export.server.api.aside import Check, unchecked
from podway.export.server.error import INVALID_ARGUMENT, UNIMPLEMENTED, RequestError
from podway.export.server.limits import SMALL, Limits
from podway.export.server.runtime.servable import Signature
from podway.export.server.runtime.tensors import TensorSpec, check_names

MAX_DEPTH = 32
"""Dimensions of a tensor in JSON. The parser itself bounds the depth of a document."""
MAX_SHOWN = 256
"""Characters of a JSON value that an error quotes."""

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?+', re.DOTALL)
"""Also one without an end, so that none is looked at twice."""


@dataclasses.dataclass(frozen=True)
class PredictRequest:
    """A parsed request.

    Attributes:
      signature: what to run.
      inputs: arrays in the order of the signature's inputs.
      rows: whether it came, and is answered, in row format.
    """

    signature: Signature
    inputs: list[np.ndarray]
    rows: bool


def parse(
    body: bytes,
    signature_of: Callable[[str], Signature],
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    waits: Check = unchecked,
) -> PredictRequest:
    """Reads the body of a predict request. Raises RequestError."""
    document = load(body, limits, waits)
    name = signature_name(document)
    if ("instances" in document) == ("inputs" in document):
        if "inputs" not in document:
            raise _invalid("Missing 'inputs' or 'instances' key")
        raise _invalid(
            f"JSON Value: {show(document)} Not formatted correctly expecting only"
            " one of 'inputs' or 'instances' keys to exist"
        )
    signature = signature_of(name)
    rows = "instances" in document
    if rows and isinstance(document["instances"], list):
        limits.check_rows(len(document["instances"]))
    columns = (
        _columns_of_rows(document["instances"], signature)
        if rows
        else _columns(document["inputs"], signature)
    )
    inputs = []
    for key, spec in signature.inputs.items():
        waits()
        column = columns[key]
        if key in signature.padding:
            column = _padded(key, column, signature.padding[key], limits)
        inputs.append(_array(key, column, spec))
    return PredictRequest(signature, inputs, rows)


def render(
    request: PredictRequest, outputs: Sequence[np.ndarray], waits: Check = unchecked
) -> bytes:
    """The body of the answer. Raises RequestError when rows are asked of outputs without rows."""
    columns = dict(zip(request.signature.outputs, outputs, strict=True))
    if not request.rows:
        values = {name: _values(name, array) for name, array in columns.items()}
        return dump({"outputs": values if len(values) > 1 else next(iter(values.values()))})
    if len({array.shape[:1] for array in columns.values()}) != 1 or () in {
        array.shape for array in columns.values()
    }:
        shapes = {name: array.shape for name, array in columns.items()}
        raise _invalid(f"the outputs have not one row per instance, ask by 'inputs': {shapes}")
    values = {name: _values(name, array) for name, array in columns.items()}
    waits()
    if len(values) == 1:
        return dump({"predictions": next(iter(values.values()))})
    rows = zip(*values.values(), strict=True)
    return dump({"predictions": [dict(zip(values, row, strict=True)) for row in rows]})


def load(
    body: bytes,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    waits: Check = unchecked,
) -> dict[str, Any]:
    """The JSON object of a body; NaN, Infinity and -Infinity are numbers. Raises RequestError."""
    if not body:
        raise _invalid("JSON Parse error: The document is empty")
    if len(body) > limits.elements:
        limits.check_elements(count(body, limits.elements, waits))
    try:
        document = large_json.loads(body, waits) if len(body) > SMALL else json.loads(body)
        if b"\\u" in body or b"\xed" in body:  # which a surrogate is written with
            for text in large_json.texts(document):
                text.encode()
    except UnicodeEncodeError as error:
        raise _invalid("JSON Parse error: a string has half of a surrogate pair") from error
    except json.JSONDecodeError as error:
        raise _invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from error
    except (ValueError, RecursionError) as error:  # not UTF-8; nested too deeply
        raise _invalid(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise _invalid(f"JSON Value: {show(document)} Is not object")
    return document


def count(body: bytes, most: int, waits: Check = unchecked) -> int:
    """The values and keys of JSON, or a number above `most` once there are so many."""
    if (marks := _marks(body)) < most:  # those in strings are counted, too: at most so many
        return marks + 1
    marks = at = 0
    for index, string in enumerate(_STRING.finditer(body)):
        if index % 4096 == 0:
            waits()
        marks += _marks(body[at : string.start()])
        at = string.end()
        if marks >= most:
            break
    return marks + _marks(body[at:]) + 1


def _marks(text: bytes) -> int:
    return sum(map(text.count, (b",", b":", b"[", b"{")))


def signature_name(document: dict[str, Any]) -> str:
    """The signature that a body asks for; "" for the default. Raises RequestError."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise _invalid(
            f"JSON Value: {show(document)} not formatted correctly."
            " 'signature_name' key must be a string value."
        )
    return name


def _columns_of_rows(instances: Any, signature: Signature) -> Mapping[str, list]:
    """Row format → a list of values per input."""
    if not isinstance(instances, list):
        raise _invalid(f"Expecting 'instances' to be an list/array, not {show(instances)}")
    if not instances:
        raise _invalid("No values in 'instances' array")
    names = signature.inputs.keys()
    if not _is_object(instances[0]):
        if len(names) != 1:
            raise _invalid(
                "instances is a plain list, but expecting list of objects as multiple"
                f" input tensors required: {', '.join(names)}"
            )
        for index, instance in enumerate(instances):
            if _is_object(instance):
                raise _invalid(f"Expecting value/list but got object at item {index} of input list")
        return {next(iter(names)): instances}
    for index, instance in enumerate(instances):
        if not _is_object(instance):
            raise _invalid(f"Expecting object but got list at item {index} of input list")
        if instance.keys() != names:
            raise _invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object:"
                f" {show(instance)} keys must be equal to: {','.join(names)}"
            )
    return {name: [instance[name] for instance in instances] for name in names}


def _columns(inputs: Any, signature: Signature) -> Mapping[str, Any]:
    """Columnar format → the value of each input."""
    if _is_object(inputs):
        check_names(inputs, signature.inputs)
        return inputs
    if len(signature.inputs) != 1:
        raise _invalid(
            "inputs is a plain value/list, but expecting an object as multiple input"
            f" tensors required: {', '.join(signature.inputs)}"
        )
    return {next(iter(signature.inputs)): inputs}


def _padded(name: str, rows: Any, fill: Any, limits: Limits) -> Any:
    """Rows of unequal length → of the longest's, where the exporter said by what to lengthen them.

    The padding may not make a small request a large one. Raises RequestError.
    """
    if not (isinstance(rows, list) and all(isinstance(row, list) for row in rows)):
        return rows
    lengths = [len(row) for row in rows]
    longest, total = max(lengths, default=0), sum(lengths)
    if longest * len(rows) == total:
        return rows
    if longest * len(rows) > max(limits.elements, 2 * total):
        raise _invalid(
            f"input {name!r}: {len(rows)} lists padded to the longest, {longest}, are more than"
            f" {limits.elements} values (--max_request_elements); send the long ones in a request"
            " of their own"
        )
    value = fill.decode("utf-8", "surrogateescape") if isinstance(fill, bytes) else fill
    return [row + [value] * (longest - len(row)) for row in rows]


def _array(name: str, value: Any, spec: TensorSpec) -> np.ndarray:
    """A value or nested lists of values → an array of the spec's type."""
    shape, leaves = [], [value]
    while leaves and isinstance(leaves[0], list):
        shape.append(len(leaves[0]))
        if len(shape) > MAX_DEPTH:
            raise _invalid(f"input {name!r}: lists are nested more than {MAX_DEPTH} deep")
        for leaf in leaves:
            if not isinstance(leaf, list) or len(leaf) != shape[-1]:
                found = f"list of {len(leaf)}" if isinstance(leaf, list) else show(leaf)
                raise _invalid(
                    f"input {name!r}: expected a list of {shape[-1]} at level"
                    f" {len(shape) - 1} of the nested lists, found {found}"
                )
        leaves = [item for leaf in leaves for item in leaf]
    dtype = tf.dtypes.as_dtype(spec.dtype)
    try:
        array = _leaves(leaves, dtype)
    except (TypeError, OverflowError) as error:
        raise _invalid(f"input {name!r}: {error}") from error
    return array.reshape(shape)


def _leaves(leaves: list, dtype: tf.DType) -> np.ndarray:
    """Checked scalars → a flat array. Raises TypeError or OverflowError."""
    if dtype == tf.string:
        array = np.empty(len(leaves), object)
        array[:] = [to_bytes(leaf) for leaf in leaves]
        return array
    allowed = (bool,) if dtype.is_bool else (int,) if dtype.is_integer else (int, float)
    if not (dtype.is_bool or dtype.is_integer or dtype.is_floating):
        raise RequestError(UNIMPLEMENTED, f"JSON cannot carry values of type {dtype.name}")
    for leaf in leaves:
        if type(leaf) not in allowed:
            raise TypeError(f"JSON Value: {show(leaf)} is not of expected type: {dtype.name}")
    with np.errstate(over="ignore"):
        return np.array(leaves, dtype.as_numpy_dtype)


def to_bytes(leaf: Any) -> bytes:
    """A JSON string, or {"b64": …}, as bytes. Raises TypeError."""
    if isinstance(leaf, str):
        return leaf.encode("utf-8", "surrogatepass")
    if is_base64(leaf):
        try:
            return base64.b64decode(leaf["b64"], validate=True)
        except ValueError as error:  # binascii.Error, or not ASCII
            raise TypeError(f"Unable to base64 decode {show(leaf)}: {error}") from error
    raise TypeError(f"JSON Value: {show(leaf)} is not of expected type: string")


def _values(name: str, array: np.ndarray) -> Any:
    """An array as nested lists of JSON values."""
    if array.dtype == object:
        encode = _b64 if name.endswith("_bytes") else _text
        return _nest([encode(value) for value in array.ravel()], array.shape)
    if array.dtype == np.float32:
        return _nest(shortest.floats(array), array.shape)
    if np.issubdtype(array.dtype, np.floating) and array.dtype.itemsize < 8:
        # The shortest text that reads back as the same float32, not its seventeen digits.
        return _nest([float(str(value)) for value in array.ravel()], array.shape)
    return array.tolist()


def _nest(flat: list, shape: tuple[int, ...]) -> Any:
    if not shape:
        return flat[0]
    for size in reversed(shape[1:]):
        count = len(flat) // size if size else int(np.prod(shape[: len(shape) - 1]))
        flat = [flat[size * index : size * (index + 1)] for index in range(count)]
    return flat


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _b64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def is_base64(value: Any) -> bool:
    """Whether a JSON value is {"b64": "…"}, which stands for bytes."""
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _is_object(value: Any) -> bool:
    """An object that is not {"b64": …}, which stands for a value."""
    return isinstance(value, dict) and value.keys() != {"b64"}


def dump(value: Any) -> bytes:
    """A value as JSON; numbers that JSON lacks are NaN, Infinity and -Infinity."""
    return json.dumps(value, ensure_ascii=False).encode()


def show(value: Any) -> str:
    """A JSON value for an error, cut to a readable length."""
    text = ""
    try:
        for part in json.JSONEncoder(ensure_ascii=False).iterencode(value):
            text += part
            if len(text) > MAX_SHOWN:
                return text[:MAX_SHOWN] + "…"
    except RecursionError:  # the parser had just enough room for it
        return "…"
    return text


def _invalid(message: str) -> RequestError:
    return RequestError(INVALID_ARGUMENT, message)
