"""How many events have an id that came lately: what a sender or a queue delivers twice."""

from typing import Any

import pyarrow as pa
import pyarrow.compute

pc: Any = pyarrow.compute  # which makes its functions when it is imported


class Repeats:
    """Knows the ids of this load and of the one before. It counts, and drops nothing: which event
    of an id stays is decided by the dataset (data.columns.id), whatever the order of arrival."""

    def __init__(self) -> None:
        self._before: pa.Array = pa.array([], pa.string())

    def count(self, ids: pa.ChunkedArray) -> int:
        """Of these ids, how many were there; in a flush that is tried again, all of them."""
        own = ids.unique()
        again = pc.sum(pc.is_in(own, self._before)).as_py() or 0
        self._before = own
        return len(ids) - len(own) + again
