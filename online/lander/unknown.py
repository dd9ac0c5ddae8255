"""The fields that no schema has, of many events: one text of JSON each, names in order.

Texts, integers and booleans are joined column by column, as Arrow read them. Rows that have
something else (floats, lists, objects, what looks like a time or has an escape) are read alone: of
these Arrow does not know how they were written.
"""

import json
import re
from collections.abc import Sequence, Set
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute

pc: Any = pyarrow.compute  # which makes its functions when it is imported

_LONG = re.compile(rb"[:,\[]\s*-?\d{19}")
"""A number of more than 64 bits, perhaps: to orjson it is a float."""


def texts(
    raw: pa.Table, names: Sequence[str], lines: Sequence[bytes], alone: np.ndarray, known: Set[str]
) -> tuple[pa.ChunkedArray | pa.Array, list[int]]:
    """The text of each row, null where it has none; and rows that orjson cannot be sure of.

    Args:
      raw: a row for each line, as Arrow read it.
      names: of its columns that no schema has.
      lines: what was read.
      alone: mask of the rows that are to be read alone whatever they have.
      known: names that a schema has.
    """
    pieces, there, alone = [], np.zeros(len(raw), bool), alone.copy()
    for name in sorted(names):
        column = raw[name]
        if column.null_count == len(column):
            continue
        mine = pc.is_valid(column).to_numpy()
        there |= mine
        if (piece := _piece(name, column)) is None:
            alone |= mine
        else:
            pieces.append(piece)
    found = _joined(pieces, len(raw), there)
    rows = np.flatnonzero(alone).tolist()
    if not rows:
        return found, []
    odd: list[int] = []
    single: list[str | None] = [None] * len(raw)
    for at in rows:
        line = lines[at]
        # orjson takes what is longer for a float, and json is four times as slow
        if _LONG.search(line):
            odd.append(at)
            continue
        try:
            read = orjson.loads(line)
        except ValueError:  # NaN, say, which Arrow takes for a number
            odd.append(at)
            continue
        single[at] = text({name: read[name] for name in read.keys() - known})
    return pc.if_else(pa.array(alone), pa.array(single, pa.string()), found), odd


def _piece(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """`,"name":value` of each row that has one; None: it is not known how it was written."""
    kind = column.type
    begin = f",{orjson.dumps(name).decode()}:"
    if pa.types.is_string(kind):
        return pc.binary_join_element_wise(begin + '"', column, '"', "")
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return pc.binary_join_element_wise(begin, column.cast(pa.string()), "")
    return None


def _joined(pieces: Sequence[Any], count: int, there: np.ndarray) -> pa.ChunkedArray | pa.Array:
    """Objects of pieces; null where there is none."""
    if not pieces:
        return pa.nulls(count, pa.string())
    whole = pieces[0]
    if len(pieces) > 1:
        # Not null_handling="skip": pyarrow then leaves out rows that have nulls alone.
        filled = [each if each.null_count == 0 else pc.fill_null(each, "") for each in pieces]
        whole = pc.binary_join_element_wise(*filled, "")
    # The first comma becomes the brace.
    found = pc.binary_join_element_wise(pc.binary_replace_slice(whole, 0, 1, "{"), "}", "")
    return (
        found if there.all() else pc.if_else(pa.array(there), found, pa.scalar(None, pa.string()))
    )


def text(fields: dict[str, Any]) -> str | None:
    """JSON, its names in order; None: there are none but nulls."""
    fields = {name: value for name, value in sorted(fields.items()) if value is not None}
    if not fields:
        return None
    try:
        return orjson.dumps(fields).decode()
    except TypeError:  # an integer of more than 64 bits
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
