"""Several requests' arrays ↔ one batch: concatenated, padded, run, and taken apart again."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from podway.export.server.batching.parameters import BatchingParameters
from podway.export.server.error import INVALID_ARGUMENT, RequestError
from podway.export.server.runtime.servable import Signature

Arrays = Sequence[np.ndarray]

_NO_FILL = object()
"""Padding by the first value of the array, as TensorFlow Serving does it."""


def rows_of(inputs: Arrays) -> int:
    """The rows of a request; 1 where it has none."""
    return inputs[0].shape[0] if inputs and inputs[0].ndim else 1


def key_of(inputs: Arrays, signature: Signature, parameters: BatchingParameters) -> tuple | None:
    """What must be equal to share a run; None: nothing can be shared.

    Inputs whose padding the model declares need only be of like length, which bounds the waste to
    ×2; pad_variable_length_inputs asks for no likeness.
    """
    rows = {array.shape[0] if array.ndim else 0 for array in inputs}
    if not signature.batched or len(rows) != 1 or rows == {0}:
        return None
    return tuple(
        _key(
            array,
            name in signature.padding,
            spec.shape,
            parameters.pad_variable_length_inputs and spec.admits(array.shape),
        )
        for array, (name, spec) in zip(inputs, signature.inputs.items(), strict=True)
    )


def run(signature: Signature, requests: Sequence[Arrays], size: int) -> list[Arrays]:
    """The answers to requests that run as one batch of `size` rows, filled up by the last one.

    Raises:
      RequestError: the model failed.
      ValueError: the outputs have not the rows of the inputs.
    """
    counts = [rows_of(request) for request in requests]
    merged = [
        _concatenate(arrays, signature.padding.get(name, _NO_FILL), size - sum(counts))
        for name, arrays in zip(signature.inputs, zip(*requests, strict=True), strict=True)
    ]
    outputs = signature.run(merged)
    if any(output.shape[:1] != (size,) for output in outputs):
        raise ValueError("the outputs' rows are not those of the inputs")
    ends = np.cumsum(counts).tolist()
    return [
        [output[end - count : end] for output in outputs]
        for count, end in zip(counts, ends, strict=True)
    ]


def split(inputs: Arrays, size: int) -> list[Arrays]:
    """A request → requests of at most so many rows."""
    rows = rows_of(inputs)
    return [[array[start : start + size] for array in inputs] for start in range(0, rows, size)]


def join(outputs: Sequence[Arrays], names: Mapping[str, Any]) -> Arrays:
    """The answers to the parts of a request → its answer. Raises RequestError."""
    joined = []
    for name, parts in zip(names, zip(*outputs, strict=True), strict=True):
        if len({part.shape[1:] for part in parts}) != 1:
            raise RequestError(
                INVALID_ARGUMENT,
                f"output {name!r} has other sizes in each part of this large request; send at"
                " most max_batch_size rows",
            )
        joined.append(np.concatenate(parts))
    return joined


def _key(array: np.ndarray, declared: bool, shape: tuple | None, pads: bool) -> tuple:
    sizes = array.shape[1:]
    if pads and shape is not None:
        return tuple(want if want is not None else -1 for want in shape[1:])
    if declared and sizes:
        return (_octave(sizes[0]), *sizes[1:])
    return sizes


def _concatenate(arrays: Arrays, fill: Any, extra: int) -> np.ndarray:
    """Along dimension 0, after padding the others to the longest; the last row `extra` times."""
    if len({array.shape[1:] for array in arrays}) == 1:
        tail = [np.repeat(arrays[-1][-1:], extra, axis=0)] if extra else []
        return np.concatenate([*arrays, *tail]) if len(arrays) + len(tail) > 1 else arrays[0]
    sizes = [max(lengths) for lengths in zip(*(array.shape[1:] for array in arrays), strict=True)]
    rows = sum(len(array) for array in arrays)
    merged = np.empty((rows + extra, *sizes), arrays[0].dtype)
    start = 0
    for array in arrays:
        end = start + len(array)
        merged[start:end] = _first(array) if fill is _NO_FILL else fill
        merged[(slice(start, end), *map(slice, array.shape[1:]))] = array
        start = end
    merged[rows:] = merged[rows - 1]
    return merged


def _first(array: np.ndarray) -> Any:
    """What pads this array: its first value, or the type's empty one."""
    if array.size:
        return array.flat[0]
    return b"" if array.dtype == object else np.zeros((), array.dtype)[()]


def _octave(length: int) -> int:
    """The power of two at or above."""
    return 1 << max(length - 1, 0).bit_length()
