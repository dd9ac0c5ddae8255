"""The end of every pipeline: what it wrote is checked, and becomes the dataset."""

import itertools
from typing import Any

from etils import epath

from podway.beam import extension, place, plan, rejected
from podway.beam.error import DataError, EmptySplitError
from podway.beam.formats import source
from podway.beam.formats.parse import text
from podway.beam.formats.reader import read
from podway.beam.steps import stored
from podway.framework import artifact
from podway.framework.config import LeaveOneOut, RandomSplit, SideTable
from podway.framework.error import ConfigError
from podway.framework.schema.schema import FIRST_VALUE, Vocabulary


def publish(chosen: plan.BuildPlan, details: dict[str, Any]) -> None:
    """Checks what the pipeline wrote to the plan's stage, and makes it the dataset.

    The last step of every pipeline, wherever it runs. Repeated by a runner after it succeeded, or
    too late because the same version was built twice, it changes nothing.

    Raises:
      DataError, ConfigError: the data are not fit for use, or changed while they were read.
    """
    target = epath.Path(chosen.target)
    if not artifact.exists(target):
        _check(chosen, details)
        if file := plan.changed(chosen.stamps):
            raise DataError(f"{file} changed while the files of data.path were read; build again")
        artifact.commit(
            chosen.stage,
            name=chosen.data.name,
            version=target.name,
            details={
                **details,
                "raw": list(chosen.raw),
                "side_tables": list(chosen.tables),
                "recognised": [one.to_json() for one in chosen.recognised] or None,
                "since": extension.since(chosen, details["report"]),
                "extendable": stored.FORMAT if chosen.data.extendable else None,
            },
            git=chosen.git,
            references=extension.references(chosen),
            **chosen.identity,
        )
        try:
            artifact.publish(chosen.stage, target)
        except artifact.ArtifactError:
            if not artifact.exists(target):
                raise
    if chosen.base is not None:
        place.point(target.parent / chosen.base.whole, target.name)
    artifact.discard(chosen.stage)


def _check(chosen: plan.BuildPlan, details: dict[str, Any]) -> None:
    """Raises DataError or ConfigError where the dataset is not fit for use."""
    data, found = chosen.data, details["report"]
    if not found["rows"]:
        raise DataError(f"data.path is {data.path!r} and there is no row of data in it")
    fresh = extension.fresh(found, chosen.base)
    _check_wanted(chosen, data.path, "data.where", fresh)
    _check_rejected(chosen, {**found, **fresh}, data.path, fresh, "part-")
    rows, rejected_count = _wanted(fresh), sum(fresh["rejected"].values())
    if not found["kept"]:
        raise ConfigError(
            f"none of {rows - rejected_count:,} events is left with data.min_user_events ="
            f" {data.min_user_events} and data.min_item_events = {data.min_item_events};"
            " give smaller numbers"
        )
    for split, part in details["splits"].items():
        if not part["examples"] and isinstance(data.split, RandomSplit):
            raise DataError(
                f"no row is a {split} example under data.split = {data.split}: give a larger share,"
                f" or more rows than {found['kept']:,}"
            )
        if not part["examples"]:
            remedy = "; a user needs three: to train on, to validate and to test"
            remedy = remedy if isinstance(data.split, LeaveOneOut) else ""
            raise EmptySplitError(
                f"no user has a {split} example under data.split = {data.split}: too few events"
                f" per user ({found['kept']:,} events of {found['users']:,} users){remedy}"
            )
    _check_tables(chosen, details["tables"])


def _wanted(counts: dict[str, Any]) -> int:
    """Rows that no condition of where leaves out."""
    return counts["rows"] - sum(counts["filtered"].values())


def _check_wanted(chosen: plan.BuildPlan, path: str, field: str, counts: dict[str, Any]) -> None:
    """Raises ConfigError where the conditions of where leave nothing."""
    if chosen.base is None and counts["filtered"] and not _wanted(counts):
        rules = ", ".join(f"{rule}: {count:,}" for rule, count in counts["filtered"].items())
        raise ConfigError(
            f"none of the {counts['rows']:,} rows of {path} satisfies {field} ({rules}); compare it"
            " with the raw values"
        )


def _check_rejected(
    chosen: plan.BuildPlan, report: dict[str, Any], path: str, counts: dict[str, Any], files: str
) -> None:
    """Raises DataError where too many rows of the events or of a side table were rejected.

    Args:
      chosen: the plan.
      report: of the dataset that will not be.
      path: the raw files.
      counts: their "rows", of the "rejected" ones how many for which reason, and of those that
        are "filtered" as they are read, and don't count, how many by which rule.
      files: what the files of their rejected rows begin with.
    """
    rows, count = _wanted(counts), sum(counts["rejected"].values())
    if count <= chosen.data.max_rejected * rows:
        return
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in counts["rejected"].items())
    kept = rejected.keep(epath.Path(chosen.stage), report)
    found = rejected.read(kept, files)
    samples = [rejected.line(row) for row in itertools.islice(found, 2)]
    which = f" --dataset {epath.Path(chosen.target).name}" if chosen.base else ""
    hint = ""
    if any("UTF-8" in reason for reason in counts["rejected"]):
        hint = "; for text that is no UTF-8 set its encoding (--data.format.encoding cp1252)"
    raise DataError(
        f"{count:,} of {rows:,} rows of {path} were rejected ({reasons}), more than"
        f" data.max_rejected = {chosen.data.max_rejected} allows{hint}; `podway rejected{which}`"
        f" shows what is kept of them in {kept}, for example {'; '.join(samples)}"
    )


def _check_tables(chosen: plan.BuildPlan, tables: list[dict[str, Any]]) -> None:
    """Raises DataError where a side table has no row, too many rejected ones, or another key."""
    found = {table["table"]: table for table in tables}
    for number, table in enumerate(chosen.data.tables):
        if number not in found or not found[number]["rows"]:
            raise DataError(
                f"the {table.of} table {table.path!r} of data.tables[{number}] has no row of data"
            )
        counts = found[number]
        _check_wanted(chosen, table.path, f"where of data.tables[{number}]", counts)
        report = {**counts, "kept": _wanted(counts) - sum(counts["rejected"].values())}
        _check_rejected(chosen, report, table.path, counts, f"table-{number}-")
        if counts["matched"] == 0:
            words = Vocabulary.read(
                epath.Path(chosen.stage) / "vocabulary" / f"{table.of}.jsonl", rows=FIRST_VALUE + 1
            )
            raise DataError(
                f"none of the {counts['keys']:,} keys of the {table.of} table {table.path!r}, such"
                f" as {_key(table)!r}, is {'a user' if table.of == 'user' else 'an item'} of the"
                f" train split, such as {words.values[-1]!r}; set key of data.tables[{number}],"
                f" which is {table.key!r}, to the column that has the same values"
            )


def _key(table: SideTable) -> str:
    """A key of a side table, as it is written."""
    for file in source.find(table):
        for batch in read(file, table, sample=True):
            key, _ = text(batch.columns["key"], "key", file)
            for value in key.to_pylist():
                if value:
                    return value
    return ""
