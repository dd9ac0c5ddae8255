"""Which raw rows are read, and what each event counts as a target: what the conditions say."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from podway.beam.features import conditions, fit
from podway.beam.formats.checks import Checks
from podway.beam.formats.parse import Columns
from podway.beam.formats.recognise import moment_roles
from podway.beam.formats.rows import RawBatch, choose, role_of
from podway.beam.formats.times import Clock
from podway.framework.config import Data, SideTable
from podway.framework.config.features import Numeric
from podway.framework.config.where import columns_of
from podway.framework.schema.schema import EVENT_WEIGHT


def wanted(
    rows: RawBatch, raw: Data | SideTable, clocks: Mapping[str, Clock], file: str
) -> tuple[RawBatch, dict[str, int], Checks]:
    """The rows that satisfy all conditions of where, how many fail which, and the checks that some
    of the others fail, as a value cannot be compared.

    Args:
      rows: as read.
      raw: whose conditions these are.
      clocks: what times are written in, by role (see recognise.clocks).
      file: the raw file, for errors.
    """
    if not raw.where:
        return rows, {}, []
    columns = {name: rows.columns[role_of(name)] for name in columns_of(raw.where)}
    decision = conditions.decide(
        raw.where, columns, len(rows.numbers), file, _by_column(raw, clocks)
    )
    return choose(rows, decision.stay), decision.filtered, decision.checks


def event_weights(rows: RawBatch, data: Data, clocks: Mapping[str, Clock], file: str) -> Columns:
    """The events' weights, where they have some: 0 for what is no target; and the checks that some
    of them fail. The arguments are those of `wanted`."""
    values, checks = np.ones(len(rows.numbers), np.float32), list[Any]()
    if EVENT_WEIGHT in rows.columns:
        raw = rows.columns[EVENT_WEIGHT]
        numbers, checks = fit.canonical(raw, Numeric(EVENT_WEIGHT), file)
        values = numbers.to_numpy(zero_copy_only=False)
        checks = [*checks, (f"missing {EVENT_WEIGHT}", np.isnan(values))]
        checks.append((f"{EVENT_WEIGHT} is below 0", values < 0))
    elif not data.targets:
        return {}, []
    columns = {name: rows.columns[role_of(name)] for name in columns_of(data.targets)}
    for condition in data.targets:
        found, unknown = conditions.verdicts(condition, columns, file, _by_column(data, clocks))
        values = np.where(found == conditions.YES, values, np.float32(0))
        checks += [(reason, mask & (found == conditions.UNKNOWN)) for reason, mask in unknown]
    passed = [(reason, mask) for reason, mask in checks if mask.any()]
    return {EVENT_WEIGHT: pa.array(values)}, passed


def _by_column(raw: Data | SideTable, clocks: Mapping[str, Clock]) -> dict[str, Clock]:
    return {column: clocks[role] for column, role in moment_roles(raw).items()}
