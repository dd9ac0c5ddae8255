"""How long two published models take, by the SavedModels as servers run them.

Calls of both take turns, so that what else the machine does meets both alike; rounds are told
apart, so that a noisy one can be left to the median.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath

from podway.export.silence import silence_tensorflow
from podway.framework.error import PodwayError
from podway.launch.gate.measured import Timings, Unmeasured

ROUNDS = 5
_WARM = 3
"""Calls of each request that are not timed: the first one waits for the compiler."""


def measure(
    candidate: epath.Path,
    champion: epath.Path | None,
    batch_sizes: Sequence[int],
    calls: int,
) -> dict[int, Timings | Unmeasured]:
    """Seconds of calls of `serving_default`, by rows of the request.

    Args:
      candidate: folder of the version.
      champion: likewise.
      batch_sizes: rows of the requests.
      calls: of each request in each round.
    """
    if not batch_sizes:
        return {}
    with silence_tensorflow():  # TensorFlow's native code greets
        from podway.launch.loaded import published
    folders = [candidate, *([] if champion is None else [champion])]
    owners = [_Owner() for _ in folders]
    signatures = [
        published.load(folder, owner)["serving_default"]
        for folder, owner in zip(folders, owners, strict=True)
    ]
    rows = first_row(folders[0])
    if set(rows) != set(signatures[-1].inputs):
        names = ", ".join(signatures[-1].inputs)
        reason = f"the champion takes other inputs ({names}), so both have no request in common"
        return dict.fromkeys(batch_sizes, Unmeasured(reason))
    found: dict[int, Timings | Unmeasured] = {}
    for size in batch_sizes:
        request = {name: column.repeat(size, axis=0) for name, column in rows.items()}
        try:
            seconds = _timed(signatures, request, folders, calls)
        except PodwayError as error:
            found[size] = Unmeasured(f"a request of {size} rows: {error}")
            continue
        found[size] = Timings(*seconds)
    return found


class _Owner:
    """For as long as it lives, a model is in memory."""


def first_row(folder: epath.Path) -> Mapping[str, np.ndarray]:
    """The inputs of one row, by the version's own warm-up requests."""
    with silence_tensorflow():
        import tensorflow as tf

        from podway.export.verification import warmup
    request = next(
        each
        for each in warmup.read(folder)
        if each.model_spec.signature_name in ("", "serving_default")
    )
    return {name: tf.make_ndarray(tensor)[:1] for name, tensor in request.inputs.items()}


def _timed(
    signatures: Sequence, request: Mapping[str, np.ndarray], folders: Sequence, calls: int
) -> list[np.ndarray]:
    """Seconds [rounds, calls] of each model. Raises ExportError."""
    from podway.export.verification import sessions

    for signature, folder in zip(signatures, folders, strict=True):
        for _ in range(_WARM):
            sessions.run(signature, request, str(folder))
    found = np.zeros((len(signatures), ROUNDS, calls))
    for turn in range(ROUNDS * calls):
        order = range(len(signatures)) if turn % 2 else reversed(range(len(signatures)))
        for which in order:
            signature, folder = signatures[which], str(folders[which])
            began = time.perf_counter()
            sessions.run(signature, request, folder)
            found[which, turn // calls, turn % calls] = time.perf_counter() - began
    return list(found)
