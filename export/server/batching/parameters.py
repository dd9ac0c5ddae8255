"""How requests are merged into batches, and the file that says it.

max_batch_size { value: 128 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 4 }
allowed_batch_sizes: [8, 32, 128]
"""

import dataclasses
import enum
import os
from typing import Any

from etils import epath

from podway.export.server import text_proto
from podway.export.server.error import ServerError

FLAG = "batching_parameters_file"
MODEL_FILE = "batching_params.pbtxt"
"""A model's own parameters, beside its saved_model.pb."""


class Large(enum.Enum):
    """What becomes of a request with more rows than a batch has room for."""

    ALONE = "it runs as it is, or as several batches where its rows are known to be independent"
    SPLIT = "it runs as several batches"
    REFUSE = "it is answered by INVALID_ARGUMENT"


@dataclasses.dataclass(frozen=True)
class BatchingParameters:
    """The queue of a signature.

    Attributes:
      max_batch_size: most rows of a request that is not split.
      max_execution_batch_size: most rows that are merged into a run.
      timeout: seconds for which a batch that is not full waits for more; 0: it never waits.
      max_enqueued_batches: requests beyond so many waiting batches are refused.
      threads: runs that are in progress at once.
      allowed_batch_sizes: a batch is filled up to the next of these; (): any size.
      pad_variable_length_inputs: whether requests of different shapes share a batch, where the
        signature leaves the size open; the shorter ones are padded by their first value.
      large: what becomes of requests above max_batch_size.
    """

    max_batch_size: int = 64
    max_execution_batch_size: int = 64
    timeout: float = 0.0
    max_enqueued_batches: int = 1000
    threads: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    large: Large = Large.ALONE

    @property
    def large_threads(self) -> int:
        """Runs of requests with more rows than a batch has room for, beside the others."""
        return max(1, self.threads // 2)

    def padded(self, rows: int) -> int:
        """The rows of the batch that a run of so many rows takes."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)


def without_file(max_batch_size: int) -> BatchingParameters:
    """Without --enable_batching: nothing waits, nothing is split."""
    return BatchingParameters(
        max_batch_size=max_batch_size, max_execution_batch_size=max_batch_size
    )


def read(path: epath.PathLike | None, flag: str = FLAG) -> BatchingParameters:
    """With --enable_batching: what the file says; None: TensorFlow Serving's defaults.

    Raises:
      ServerError: the file cannot be used; it names the field.
    """
    if path is None:
        return BatchingParameters(1000, 1000, max_enqueued_batches=10, large=Large.SPLIT)
    message = text_proto.read(path, "BatchingParameters", flag)
    where = f"{flag} {path}"
    size = _number(message, "max_batch_size", 1000, 1, where)
    splits = text_proto.value(message, "enable_large_batch_splitting", True)
    execution = _number(message, "max_execution_batch_size", size, 1, where)
    if execution > size:
        raise ServerError(
            f"{where}: max_execution_batch_size is {execution}; give at most max_batch_size, {size}"
        )
    if execution < size and not splits:
        raise ServerError(
            f"{where}: max_execution_batch_size needs enable_large_batch_splitting to be true"
        )
    return BatchingParameters(
        max_batch_size=size,
        max_execution_batch_size=execution,
        timeout=_number(message, "batch_timeout_micros", 0, 0, where) / 1e6,
        max_enqueued_batches=_number(message, "max_enqueued_batches", 10, 1, where),
        threads=_number(message, "num_batch_threads", os.cpu_count() or 1, 1, where),
        allowed_batch_sizes=_allowed(tuple(message.allowed_batch_sizes), {size, execution}, where),
        pad_variable_length_inputs=message.pad_variable_length_inputs,
        large=Large.SPLIT if splits else Large.REFUSE,
    )


def of_model(directory: epath.Path, max_batch_size: int, threads: int) -> BatchingParameters:
    """With --enable_per_model_batching_parameters: what the version's own file says.

    A version without a file is served as without --enable_batching. Raises ServerError.
    """
    path = directory / MODEL_FILE
    found = read(path, "batching parameters") if path.exists() else without_file(max_batch_size)
    return dataclasses.replace(found, threads=threads)


def _number(message: Any, field: str, default: int, least: int, where: str) -> int:
    found = text_proto.value(message, field, default)
    if found < least:
        raise ServerError(f"{where}: {field} is {found}; give {least} or more")
    return found


def _allowed(sizes: tuple[int, ...], largest: set[int], where: str) -> tuple[int, ...]:
    if sizes and (sizes[0] < 1 or list(sizes) != sorted(set(sizes))):
        raise ServerError(
            f"{where}: allowed_batch_sizes is {list(sizes)}; give rising numbers from 1 on"
        )
    if sizes and sizes[-1] not in largest:
        raise ServerError(
            f"{where}: allowed_batch_sizes ends with {sizes[-1]}; its last number must be"
            f" max_batch_size, {max(largest)}"
        )
    return sizes
