"""The messages of TensorFlow Serving's API that a client needs, without TensorFlow.

tensorflow-serving-api's modules import TensorFlow, which takes seconds and hundreds of megabytes.
The fields and their numbers are those of tensorflow_serving/apis/{model,predict}.proto and
tensorflow/core/framework/{tensor,tensor_shape}.proto; a test holds them against these. They live in
a pool of their own, so that a process may have both.
"""

from typing import Any

from podway.online.servers import protos
from podway.online.servers.protos import Messages

MESSAGES: Messages = {
    "Int64Value": {"value": (1, "int64")},
    "ModelSpec": {
        "name": (1, "string"),
        "version": (2, "Int64Value"),
        "signature_name": (3, "string"),
        "version_label": (4, "string"),
    },
    "Dim": {"size": (1, "int64")},
    "TensorShapeProto": {"dim": (2, "Dim*")},
    "TensorProto": {
        "dtype": (1, "int32"),  # an enum, which is written as an int32
        "tensor_shape": (2, "TensorShapeProto"),
        "float_val": (5, "float*"),
        "double_val": (6, "double*"),
        "int_val": (7, "int32*"),
        "string_val": (8, "bytes*"),
        "int64_val": (10, "int64*"),
        "bool_val": (11, "bool*"),
    },
    "NamedTensor": {"key": (1, "string"), "value": (2, "TensorProto")},  # an entry of a map
    "PredictRequest": {"model_spec": (1, "ModelSpec"), "inputs": (2, "NamedTensor*")},
    "PredictResponse": {"outputs": (1, "NamedTensor*"), "model_spec": (2, "ModelSpec")},
}

_ALL = protos.classes(MESSAGES)
PredictRequest, PredictResponse = _ALL["PredictRequest"], _ALL["PredictResponse"]

TYPES = {
    "float32": (1, "float_val"),
    "float64": (2, "double_val"),
    "int32": (3, "int_val"),
    "string": (7, "string_val"),
    "int64": (9, "int64_val"),
    "bool": (10, "bool_val"),
}
"""Type → TensorFlow's number of it, and the field that has its values."""
_FIELDS = dict(TYPES.values())


def write(tensor: Any, rows: Any, kind: str) -> None:
    """Fills a TensorProto. Raises ValueError: the rows are no rectangle, or of another type.

    Args:
      tensor: an empty one.
      rows: nested lists.
      kind: the type; "": what the first value is, of numbers float32 and int64.
    """
    shape, values = _measured(rows)
    kind = kind or _kind(values)
    if kind not in TYPES:
        raise ValueError(f"{kind!r} is none of the types {', '.join(TYPES)}")
    number, field = TYPES[kind]
    tensor.dtype = number
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    if kind == "string":
        values = [each.encode() if isinstance(each, str) else each for each in values]
    try:
        getattr(tensor, field).extend(values)
    except TypeError as error:
        raise ValueError(f"a value is no {kind}: {error}") from error


def read(tensor: Any) -> Any:
    """The rows of a TensorProto, nested lists; strings as text. Raises ValueError."""
    if tensor.dtype not in _FIELDS:
        raise ValueError(f"a tensor of TensorFlow's type {tensor.dtype} cannot be read here")
    values = list(getattr(tensor, _FIELDS[tensor.dtype]))
    if tensor.dtype == TYPES["string"][0]:
        values = [each.decode(errors="replace") for each in values]
    shape = [each.size for each in tensor.tensor_shape.dim]
    if len(values) == 1:  # one value may stand for all
        count = 1
        for size in shape:
            count *= size
        values *= count
    return _nested(values, shape)


def _measured(rows: Any) -> tuple[list[int], list[Any]]:
    """Shape and values. Raises ValueError."""
    if not isinstance(rows, list | tuple):
        return [], [rows]
    if not rows:
        return [0], []
    if not {list, tuple} & set(map(type, rows)):  # of one dimension, as a rule, and long
        return [len(rows)], list(rows)
    shapes, values = [], []
    for each in rows:
        shape, inner = _measured(each)
        shapes.append(shape)
        values += inner
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError("rows differ in length; fill up the shorter ones")
    return [len(rows), *shapes[0]], values


def _kind(values: list[Any]) -> str:
    if not values or isinstance(values[0], str | bytes):
        return "string"
    if isinstance(values[0], bool):
        return "bool"
    return "int64" if all(isinstance(each, int) for each in values) else "float32"


def _nested(values: list[Any], shape: list[int]) -> Any:
    if not shape:
        return values[0]
    if len(shape) == 1:
        return values[: shape[0]]
    width = len(values) // shape[0] if shape[0] else 0
    return [_nested(values[at * width : (at + 1) * width], shape[1:]) for at in range(shape[0])]
