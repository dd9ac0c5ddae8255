"""TensorProto ↔ NumPy, checked against a signature."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from podway.export.server.error import INVALID_ARGUMENT, RequestError

MAX_FILLED = 1 << 16
"""Elements of a tensor that are not in its proto, whose last value stands for all that follow: a
few bytes may claim no more work than that."""

_FIELDS = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_STRING: "string_val",
}
"""Where the values of a type lie in a TensorProto."""


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """An input or output of a signature.

    Attributes:
      tensor: its name in the graph, e.g. "serving_default_history:0".
      dtype: TensorFlow's number for the type (types_pb2).
      shape: dimensions, None where any size does; None for an unknown rank.
    """

    tensor: str
    dtype: int
    shape: tuple[int | None, ...] | None

    @classmethod
    def of(cls, info: meta_graph_pb2.TensorInfo) -> "TensorSpec":
        """The spec in a SignatureDef's TensorInfo."""
        known = not info.tensor_shape.unknown_rank
        shape = tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
        return cls(info.name, info.dtype, shape if known else None)

    def admits(self, shape: tuple[int, ...]) -> bool:
        """Whether this is one of the shapes that the signature speaks of."""
        return self.shape is None or (
            len(shape) == len(self.shape)
            and all(want in (None, size) for want, size in zip(self.shape, shape, strict=True))
        )


def decode(inputs: Mapping[str, tensor_pb2.TensorProto], specs: Mapping[str, TensorSpec]):
    """Arrays by input name, of the specs' types. Strings are objects (bytes).

    What shapes an input may have the graph decides, as in TensorFlow Serving: a signature's are
    what its author knew.

    Raises:
      RequestError: an input is missing, unknown, malformed, or of another type.
    """
    check_names(inputs, specs)
    return {name: _decode(name, inputs[name], spec) for name, spec in specs.items()}


def check_names(inputs: Mapping, specs: Mapping[str, TensorSpec]) -> None:
    """Raises RequestError, in TensorFlow Serving's words, unless both have the same names."""
    if inputs.keys() == specs.keys():
        return
    sent, wanted = set(inputs), set(specs)
    raise RequestError(
        INVALID_ARGUMENT,
        f"input size does not match signature: {len(sent)}!={len(wanted)}"
        f" len({_names(sent)}) != len({_names(wanted)})."
        f" Sent extra: {_names(sent - wanted)}. Missing but required: {_names(wanted - sent)}.",
    )


def encode(array: np.ndarray, dtype: int, proto: tensor_pb2.TensorProto) -> None:
    """Writes an array into a proto, in the value fields that TensorFlow Serving answers with."""
    proto.dtype = dtype  # type: ignore[assignment]
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    if field := _FIELDS.get(dtype):
        getattr(proto, field).extend(array.ravel().tolist())
    else:  # bfloat16, complex …
        proto.tensor_content = array.tobytes()


def _decode(name: str, proto: tensor_pb2.TensorProto, spec: TensorSpec) -> np.ndarray:
    if proto.dtype != spec.dtype:
        raise RequestError(
            INVALID_ARGUMENT,
            f"input {name!r} is of type {_type(proto.dtype)};"
            f" the signature wants {_type(spec.dtype)}",
        )
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise RequestError(INVALID_ARGUMENT, f"input {name!r} has no complete shape: {shape}")
    elements = math.prod(shape)
    least = math.prod(size for size in shape if size)  # NumPy cannot hold [0, 2**62] either
    if least > MAX_FILLED and least - MAX_FILLED > _values(proto):
        raise RequestError(
            INVALID_ARGUMENT,
            f"input {name!r} has more elements than values, {least}: {shape}; send the values of"
            f" all but {MAX_FILLED} of them",
        )
    if proto.dtype == types_pb2.DT_STRING and len(proto.string_val) == elements:
        array = np.empty(elements, object)  # a third of make_ndarray's time, in every request
        array[:] = proto.string_val
        return array.reshape(shape)
    try:
        return tf.make_ndarray(proto)
    except (ValueError, TypeError) as error:
        raise RequestError(
            INVALID_ARGUMENT, f"input {name!r} has not the values of its shape {shape}: {error}"
        ) from error


def _values(proto: tensor_pb2.TensorProto) -> int:
    """The values that a proto holds, or more: its contents' bytes, and what is in its fields."""
    fields = {*_FIELDS.values(), "half_val", "scomplex_val", "dcomplex_val"}
    return len(proto.tensor_content) + max(len(getattr(proto, field)) for field in fields)


def _type(number: int) -> str:
    known = types_pb2.DataType.values()
    return types_pb2.DataType.Name(number) if number in known else str(number)  # type: ignore[arg-type]


def _names(names: set[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
