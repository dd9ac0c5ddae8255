"""The end of every pipeline: what it wrote is checked, and becomes the dataset."""

import itertools
from typing import Any

from etils import epath

from podway.beam import extension, plan, rejected
from podway.beam.error import DataError
from podway.beam.steps import stored
from podway.framework import artifact
from podway.framework.config import LeaveOneOut
from podway.framework.error import ConfigError


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
        if plan.stamps(chosen.data) != chosen.stamps:
            path = chosen.data.path
            raise DataError(f"the files of data.path = {path!r} changed while they were read")
        artifact.commit(
            chosen.stage,
            name=chosen.data.name,
            version=target.name,
            details={
                **details,
                "raw": list(chosen.raw),
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
        extension.point(target.parent / chosen.base.whole, target.name)
    artifact.discard(chosen.stage)


def _check(chosen: plan.BuildPlan, details: dict[str, Any]) -> None:
    """Raises DataError or ConfigError where the dataset is not fit for use."""
    data, found = chosen.data, details["report"]
    if not found["rows"]:
        raise DataError(f"data.path is {data.path!r} and there is no row of data in it")
    fresh = extension.fresh(found, chosen.base)
    rows, rejected_count = fresh["rows"], sum(fresh["rejected"].values())
    if rejected_count > data.max_rejected * rows:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in fresh["rejected"].items())
        kept = rejected.keep(epath.Path(chosen.stage), {**found, **fresh})
        samples = [rejected.line(row) for row in itertools.islice(rejected.read(kept), 2)]
        which = f" --dataset {epath.Path(chosen.target).name}" if chosen.base else ""
        raise DataError(
            f"{rejected_count:,} of {rows:,} rows of {data.path} were rejected ({reasons}),"
            f" more than data.max_rejected = {data.max_rejected} allows; `podway rejected{which}`"
            f" shows what is kept of them in {kept}, for example {'; '.join(samples)}"
        )
    if not found["kept"]:
        raise ConfigError(
            f"none of {rows - rejected_count:,} events is left with data.min_user_events ="
            f" {data.min_user_events} and data.min_item_events = {data.min_item_events};"
            " give smaller numbers"
        )
    for split, part in details["splits"].items():
        if not part["examples"]:
            remedy = "; a user needs three: to train on, to validate and to test"
            remedy = remedy if isinstance(data.split, LeaveOneOut) else ""
            raise DataError(
                f"no user has a {split} example under data.split = {data.split}: too few events"
                f" per user ({found['kept']:,} events of {found['users']:,} users){remedy}"
            )
