"""Raw data → dataset: the stage that the command line calls."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

from etils import epath

from podway.beam import extension, headers, plan
from podway.beam.engines.options import Engine, Local
from podway.beam.error import DataError
from podway.beam.formats.recognise import Recognised
from podway.beam.place import directory, identity_of, point
from podway.framework import artifact, config
from podway.framework.artifact import upgrade
from podway.framework.code import provenance
from podway.framework.error import check

_LOG = logging.getLogger(__name__)
_LISTED = 10
"""Attempts to list the raw files while they change."""


def build(
    data: config.Data,
    workdir: epath.PathLike,
    engine: Engine | None = None,
    choice: upgrade.Choice | None = None,
) -> epath.Path:
    """Builds the dataset unless it is there.

    Args:
      data: what to build.
      workdir: where datasets lie; the engine's workers must reach it.
      engine: where the pipeline runs; None: in this process.
      choice: what becomes of a dataset that other code built.

    Returns:
      The dataset's directory.

    Raises:
      DataError: no raw file, a column missing, too many rows rejected, or nothing left of them.
      ConfigError: a field that does not fit the data, or an option that does not fit the engine.
      ArtifactError: another process committed the same dataset meanwhile.
      CodeChanged: other code built it, and there is no choice.
      OSError: a file cannot be read or written. In each case nothing is left behind, except for
        too many rejected rows: these (see rejected.py).
    """
    target = directory(data, workdir, choice)
    if artifact.exists(target):
        return target
    with headers.explained(data):
        return _run(prepare(data, workdir), engine)


def extend(
    data: config.Data,
    workdir: epath.PathLike,
    since: str,
    engine: Engine | None = None,
    choice: upgrade.Choice | None = None,
) -> tuple[epath.Path, bool]:
    """Adds the raw files that are new since a dataset was built; see docs/datasets.md.

    Args:
      data: what that dataset was built of.
      workdir: where datasets lie; the engine's workers must reach it.
      since: the dataset's version, or "latest".
      engine: where the pipeline runs; None: in this process.
      choice: what becomes of an extension by the same files that other code built.

    Returns:
      The extension's directory, and whether it was built now; where nothing is new, the older
      dataset's.

    In each case below, and of those that `build` raises, nothing is left behind.

    Raises:
      ConfigError: the older dataset has another config, or cannot be extended.
      DataError: there is none, or a file that it was built of has changed or is gone.
      ArtifactError: the older dataset, or one that it refers to, is not whole.
      CodeChanged: other code built the extension, and there is no choice.
    """
    check(
        not data.version,
        "--since extends a dataset by new raw files, and data.version takes one as it is: give one"
        " of both",
    )
    found = _settled(data)
    identity, folder = found.identity, epath.Path(workdir) / "datasets" / data.name
    whole = folder / artifact.version(**identity)
    base = extension.choose(whole.parent, since, identity["config"])
    nothing_new = base.inputs["raw"] == identity["inputs"]["raw"]
    if nothing_new and ("base" not in base.inputs or base.code != identity["code"]):
        return whole.parent / base.version, False
    if nothing_new:  # it may have been killed before it pointed to what it had committed
        target = whole.parent / base.version
    else:
        new = extension.new_files(base, found.raw)
        identity = {**identity, "inputs": {**identity["inputs"], "base": base.version}}
        target = whole.parent / artifact.version(**identity)
        target = upgrade.choose(target, "dataset", identity["code"], choice)
        if not artifact.exists(target):
            raw = (*base.details["raw"], *new)
            with headers.explained(data):
                recognised = plan.recognised(data, base.details.get("recognised"))
                chosen = _plan(data, found.stamps, target, identity, new, raw, recognised)
                chosen = dataclasses.replace(chosen, base=extension.describe(base, whole))
                return _run(chosen, engine), True
    point(whole, target.name)
    return target, False


@dataclasses.dataclass(frozen=True)
class _Found:
    """The raw files at one moment.

    Attributes:
      stamps: as they were before they were hashed.
      raw: of data.path.
      identity: what the version is a hash of.
    """

    stamps: tuple[plan.Stamp, ...]
    raw: tuple[plan.Raw, ...]
    identity: dict[str, Any]


def _settled(data: config.Data) -> _Found:
    """The raw files, listed while none came or went: a lander may be writing more of them."""
    stamps = plan.stamps(data)
    for _ in range(_LISTED):
        found = _Found(stamps, plan.raw_files(data), identity_of(data))
        stamps = plan.stamps(data)
        if stamps == found.stamps:
            return found
    raise DataError(
        f"the files of data.path = {data.path!r} changed {_LISTED} times while they were listed;"
        " build when nobody writes there for a while"
    )


def _run(chosen: plan.BuildPlan, engine: Engine | None) -> epath.Path:
    from podway.beam.engines import run  # takes seconds: not needed for a dataset that is there

    try:
        run.run(chosen, engine or Local())
    finally:
        artifact.discard(chosen.stage)
    target = epath.Path(chosen.target)
    if not artifact.published(chosen.stage, target):
        raise DataError(f"the pipeline ended well, but did not write {target}: report this engine")
    return target


def prepare(data: config.Data, workdir: epath.PathLike) -> plan.BuildPlan:
    """Decides what the dataset will be, and makes the folder that the pipeline writes to.

    Raises DataError: no raw file, or one that may be read in several ways.
    """
    found = _settled(data)
    recognised = plan.recognised(data)
    for one, part in zip(recognised, (data, *data.tables), strict=True):
        for notice in one.notices(part):
            _LOG.info("%s", notice)
    target = epath.Path(workdir) / "datasets" / data.name / artifact.version(**found.identity)
    return _plan(data, found.stamps, target, found.identity, found.raw, found.raw, recognised)


def _plan(
    data: config.Data,
    stamps: tuple[plan.Stamp, ...],
    target: epath.Path,
    identity: dict[str, Any],
    read: Sequence[plan.Raw],
    raw: Sequence[plan.Raw],
    recognised: tuple[Recognised, ...],
) -> plan.BuildPlan:
    return plan.BuildPlan(
        data=data,
        files=tuple(record["path"] for record in read),
        raw=tuple(raw),
        stamps=stamps,
        identity=identity,
        stage=str(artifact.stage_for(target)),
        target=str(target),
        git=provenance.git(),
        recognised=recognised,
        tables=plan.table_files(data),
    )
