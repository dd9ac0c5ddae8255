"""How much memory a published model takes, and how much work an answer is, in a process of its own
that loads and asks it.

    python -m podway.launch.compression.memory MODEL_DIR

What is counted is memory that belongs to the process alone (RssAnon of /proc/self/status): pages of
files that the system may drop again are not. TensorFlow's own is left out: that of before the load.
Work is the processor time of all of its threads.
"""

import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import time
from typing import Any

from etils import epath

from podway.framework.error import PodwayError

ROWS = (1, 64)
"""Rows of the requests that are asked before memory is read."""
_ROUNDS, _CALLS = 5, 20
"""Of the request of one row, whose work is measured; the round with the least counts."""


@dataclasses.dataclass(frozen=True)
class Held:
    """What a published model takes.

    Attributes:
      bytes: beside TensorFlow; None where this system does not say.
      core_ms: milliseconds of all cores together, of an answer of one row.
    """

    bytes: int | None
    core_ms: float


def measure(model: epath.PathLike) -> Held:
    """What a published model takes when it is loaded and asked.

    Raises PodwayError: it cannot be loaded.
    """
    command = [sys.executable, "-m", __name__, str(model)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise PodwayError(f"{model} cannot be loaded to see its memory: {last}")
    return Held(**json.loads(done.stdout.strip().rpartition("\n")[2]))


def own() -> int | None:
    """Bytes of this process's own memory."""
    file = pathlib.Path("/proc/self/status")
    found = re.search(r"RssAnon:\s+(\d+) kB", file.read_text()) if file.exists() else None
    return None if found is None else int(found[1]) * 1024


def main(directory: str) -> None:
    """Loads and asks the model; prints what it takes."""
    from podway.export.silence import silence_tensorflow

    with silence_tensorflow():
        import tensorflow as tf

        from podway.export.verification import sessions
        from podway.launch.gate import timing
        from podway.launch.loaded import published
    tf.function(lambda x: x @ x, jit_compile=True)(tf.ones((8, 8)))  # the compiler is there, too
    before = own()
    folder, owner = epath.Path(directory), Owner()
    signature = published.load(folder, owner)["serving_default"]
    rows = timing.first_row(folder)
    for size in ROWS:
        request = {name: column.repeat(size, axis=0) for name, column in rows.items()}
        for _ in range(3):
            sessions.run(signature, request, directory)
    after = own()
    held = None if before is None or after is None else after - before
    spent = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        for _ in range(_CALLS):
            sessions.run(signature, rows, directory)
        spent.append((time.process_time() - began) / _CALLS)
    print(json.dumps({"bytes": held, "core_ms": 1e3 * min(spent)}))


class Owner:
    """For as long as it lives, a model is in memory."""

    held: Any = None


if __name__ == "__main__":
    main(sys.argv[1])
