"""A log of some of the requests and their answers, which `podway monitor` reads.

A request is a line of JSON,

    {"time": seconds since 1970, "model", "version", "signature", "inputs": {name: values},
     "outputs": {name: values}, "hashed": [names]}

and a number that is not finite is null. tf.Examples are logged as their features. Values of the
inputs and outputs in `hashed`, of any signature, and of such features, are logged as a keyed hash:
who lacks the key can neither read nor try them out.

A request never waits for its line: it is put into a queue that a thread empties, and is dropped,
and counted, where that is full. A file ends at its size; the oldest go first.
"""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import contextlib
import dataclasses
import json
import logging
import math
import os
import pathlib
import queue
import random
import re
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tensorflow.core.example import example_pb2

from podway.export.server import metrics, pseudonym, text_proto
from podway.export.server.error import ServerError
from podway.export.server.metrics import Metrics
from podway.export.server.runtime.servable import Signature

log = logging.getLogger(__name__)

FLAG = "request_log_config_file"
MAX_FILE_BYTES, MAX_FILES = 64 << 20, 10
QUEUE = 256
"""Requests that may wait for the thread."""
ROWS = 64
"""Rows of a request that are logged; of a larger one, its first."""
_EXAMPLES = ("examples", "inputs")
_TOGETHER = 0.05
"""Seconds for which the thread waits for others, once a request has come."""


@dataclasses.dataclass(frozen=True)
class RequestLog:
    """What is logged, and where.

    Attributes:
      directory: of the files.
      rate: share of the requests, above 0 up to 1.
      hashed: names of inputs, outputs and features whose values are hashed.
      key: of the hash.
      file_bytes: at which a file ends.
      files: that a process keeps.
    """

    directory: pathlib.Path
    rate: float
    hashed: frozenset[str] = frozenset()
    key: bytes = b""
    file_bytes: int = MAX_FILE_BYTES
    files: int = MAX_FILES


def read(path: str) -> RequestLog | None:
    """What a config file says; None where there is none. Raises ServerError."""
    if not path:
        return None
    config, where = text_proto.read(path, "RequestLogConfig", FLAG), f"{FLAG} {path}"
    if not config.directory.startswith("/"):
        raise ServerError(
            f"{where}: directory is {config.directory!r}; give the absolute path of a folder"
        )
    if not 0 < config.sampling_rate <= 1:
        raise ServerError(
            f"{where}: sampling_rate is {config.sampling_rate:g}; give a share above 0 and up to 1"
        )
    sizes = {
        "max_file_bytes": text_proto.value(config, "max_file_bytes", MAX_FILE_BYTES),
        "max_files": text_proto.value(config, "max_files", MAX_FILES),
    }
    for name, least in (("max_file_bytes", 4096), ("max_files", 2)):
        if sizes[name] < least:
            raise ServerError(f"{where}: {name} is {sizes[name]}; give {least} or more")
    if bool(config.hashed) != bool(config.hash_key_file):
        raise ServerError(
            f"{where}: hashed and hash_key_file belong together; give the names of what is hashed,"
            " and a file with the key"
        )
    try:
        key = pseudonym.read_key(config.hash_key_file) if config.hash_key_file else b""
    except pseudonym.UnusableKey as error:
        raise ServerError(f"{where}: hash_key_file: {error}") from error
    return RequestLog(
        directory=pathlib.Path(config.directory),
        rate=config.sampling_rate,
        hashed=frozenset(config.hashed),
        key=key,
        file_bytes=sizes["max_file_bytes"],
        files=sizes["max_files"],
    )


class Writer:
    """Writes the log of one process, from a thread of its own.

    Args:
      options: what is logged, and where.
      counted: where what is logged and dropped is counted.
      worker: number of the process among those of its server.
    """

    def __init__(self, options: RequestLog, counted: Metrics, worker: int = 0):
        self._options, self._counted = options, counted
        host = re.sub(r"[^\w.]", "_", socket.gethostname())
        self._prefix = f"requests-{host}-{worker}-"
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(QUEUE)
        self._path: pathlib.Path | None = None
        self._size, self._failed = 0, False
        self._draw = random.Random().random
        try:
            options.directory.mkdir(parents=True, exist_ok=True)
            self._begin()
        except OSError as error:
            raise ServerError(
                f"{FLAG}: directory {options.directory} cannot be written to:"
                f" {error.strerror or error}"
            ) from error
        self._thread = threading.Thread(target=self._work, name="request log", daemon=True)
        self._thread.start()

    def offer(
        self,
        model: str,
        version: int,
        signature: Signature,
        inputs: Sequence[np.ndarray],
        outputs: Sequence[np.ndarray],
    ) -> None:
        """Takes note of a request, if the draw is for it. Never waits."""
        if self._draw() >= self._options.rate:
            return
        line = {
            "time": time.time(),
            "model": model,
            "version": version,
            "signature": signature.name,
            "inputs": dict(zip(signature.inputs, inputs, strict=True)),
            "outputs": dict(zip(signature.outputs, outputs, strict=True)),
        }
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self._counted.count(metrics.DROPPED)

    def close(self, patience: float = 5.0) -> None:
        """Writes what waits, and ends."""
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=patience)
        self._thread.join(patience)

    def _work(self) -> None:
        while True:
            entries = [self._queue.get()]
            time.sleep(0 if entries[0] is None else _TOGETHER)
            with contextlib.suppress(queue.Empty):
                while True:
                    entries.append(self._queue.get_nowait())
            self._write([entry for entry in entries if entry is not None])
            if None in entries:
                return

    def _write(self, entries: Sequence[Mapping[str, Any]]) -> None:
        if not entries:
            return
        written = 0
        try:
            for entry in entries:
                line = self._line(entry)
                if self._size and self._size + len(line) > self._options.file_bytes:
                    self._begin()
                assert self._path is not None
                with open(self._path, "ab", opener=_private) as file:
                    file.write(line)
                self._size += len(line)
                self._counted.count(metrics.LOGGED)
                written += 1
            self._failed = False
        except Exception as error:  # whatever it is, no request may suffer from it
            self._counted.count(metrics.DROPPED, by=len(entries) - written)
            if not self._failed:
                log.exception("the log of requests cannot be written: %s", error)
            self._failed = True

    def _begin(self) -> None:
        """Begins a file, and takes the oldest of this process's away."""
        kept = sorted(self._options.directory.glob(f"{self._prefix}*.jsonl"))
        for old in kept[: max(0, len(kept) + 1 - self._options.files)]:
            old.unlink(missing_ok=True)
        self._path = self._options.directory / f"{self._prefix}{time.time_ns():020}.jsonl"
        with open(self._path, "ab", opener=_private):
            self._size = 0

    def _line(self, entry: Mapping[str, Any]) -> bytes:
        inputs: dict[str, Any] = {}
        for name, array in entry["inputs"].items():
            inputs |= _examples(array) if name in _EXAMPLES else {name: _rows(array)}
        outputs = {name: _rows(array) for name, array in entry["outputs"].items()}
        names = sorted(self._options.hashed & {*inputs, *outputs})
        sides = [
            {
                name: self._said(values, hide=name in self._options.hashed)
                for name, values in side.items()
            }
            for side in (inputs, outputs)
        ]
        content = dict(entry) | {"inputs": sides[0], "outputs": sides[1], "hashed": names}
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode() + b"\n"

    def _said(self, value: Any, *, hide: bool) -> Any:
        """A value, or a nest of lists of them, as JSON has it."""
        if isinstance(value, list):
            return [self._said(each, hide=hide) for each in value]
        if hide:
            whole = value if isinstance(value, bytes) else str(value).encode()
            return pseudonym.of(whole, self._options.key)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return value


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _rows(array: np.ndarray) -> Any:
    return array[:ROWS].tolist() if array.ndim else array.tolist()


def _examples(serialized: np.ndarray) -> dict[str, list[list[Any]]]:
    """Features of serialised tf.Examples: name → a list of values for each of them."""
    parsed = []
    for one in serialized.reshape(-1)[:ROWS].tolist():
        features = example_pb2.Example.FromString(one).features.feature
        parsed.append({name: _values(feature) for name, feature in features.items()})
    names = sorted({name for one in parsed for name in one})
    return {name: [one.get(name, []) for one in parsed] for name in names}


def _values(feature: Any) -> list[Any]:
    kind = feature.WhichOneof("kind")
    return list(getattr(feature, kind).value) if kind else []
