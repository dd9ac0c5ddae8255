"""Raw data → dataset: the stage that the command line calls."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from etils import epath

from beam import extension, plan, source, stored
from beam import rejected as rejected_rows
from beam.engine import Engine, Local
from beam.error import DataError
from framework import artifact, codec, config, provenance, sources, upgrade
from framework.error import ConfigError


def directory(
    data: config.Data,
    workdir: epath.PathLike,
    choice: upgrade.Choice | None = None,
    *,
    look: bool = False,
) -> epath.Path:
    """Where the dataset of this config, of the raw data as they are now, lies or will lie.

    Where it was not built as a whole but as an extension (see `extend`), it is that. `choice` and
    `look` say what becomes of one that other code built.

    Raises:
      DataError: no raw file.
      CodeChanged: other code built it, and there is no choice.
    """
    whole = place_of_whole(data, workdir)
    if found := extension.standing_for(whole):
        return found
    others = [extension.standing_for(each) for each in extension.of_other_code(whole)]
    return upgrade.choose(
        whole,
        "dataset",
        sources.code("dataset", data),
        choice,
        others=[each for each in others if each is not None],
        look=look,
    )


def place_of_whole(data: config.Data, workdir: epath.PathLike) -> epath.Path:
    """Where `build` puts it, whatever is there already. Raises DataError: no raw file."""
    return epath.Path(workdir) / "datasets" / data.name / artifact.version(**_identity(data))


def _identity(data: config.Data) -> dict[str, Any]:
    """What the version is a hash of."""
    raw = [source.content_hash(part, source.find(part)) for part in (data, *data.tables)]
    return {
        "kind": "dataset",
        "config": codec.to_json(data, versioned=True),
        "inputs": {"raw": codec.content_hash(raw)},
        "code": sources.code("dataset", data),
    }


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
    return _run(prepare(data, workdir), engine)


def extend(
    data: config.Data,
    workdir: epath.PathLike,
    since: str,
    engine: Engine | None = None,
    choice: upgrade.Choice | None = None,
) -> tuple[epath.Path, bool]:
    """Adds the raw files that are new since a dataset was built; see docs/incremental.md.

    Args:
      data: what that dataset was built of.
      workdir: where datasets lie; the engine's workers must reach it.
      since: the dataset's version, or "latest".
      engine: where the pipeline runs; None: in this process.
      choice: what becomes of an extension by the same files that other code built.

    Returns:
      The extension's directory, and whether it was built now; where nothing is new, the older
      dataset's.

    Raises:
      ConfigError: the older dataset has another config, or cannot be extended.
      DataError: there is none, or a file that it was built of has changed or is gone.
      ArtifactError: the older dataset, or one that it refers to, is not whole.
      CodeChanged: other code built the extension, and there is no choice.
      And what `build` raises. In each case nothing is left behind.
    """
    stamps = plan.stamps(data)  # before the files are hashed
    whole, identity = place_of_whole(data, workdir), _identity(data)
    base = extension.choose(whole.parent, since, identity["config"])
    nothing_new = base.inputs["raw"] == identity["inputs"]["raw"]
    if nothing_new and ("base" not in base.inputs or base.code != identity["code"]):
        return whole.parent / base.version, False
    if nothing_new:  # it may have been killed before it pointed to what it had committed
        target = whole.parent / base.version
    else:
        new = extension.new_files(base, plan.raw_files(data))
        identity = {**identity, "inputs": {**identity["inputs"], "base": base.version}}
        target = whole.parent / artifact.version(**identity)
        target = upgrade.choose(target, "dataset", identity["code"], choice)
        if not artifact.exists(target):
            raw = (*base.details["raw"], *new)
            chosen = _plan(data, stamps, target, identity, new, raw)
            chosen = dataclasses.replace(chosen, base=extension.describe(base, whole))
            return _run(chosen, engine), True
    extension.point(whole, target.name)
    return target, False


def _run(chosen: plan.Plan, engine: Engine | None) -> epath.Path:
    from beam import run  # takes seconds: not needed for a dataset that is there

    try:
        run.run(chosen, engine or Local())
    finally:
        artifact.discard(chosen.stage)
    target = epath.Path(chosen.target)
    if not artifact.published(chosen.stage, target):
        raise DataError(f"the pipeline ended well, but did not write {target}: report this engine")
    return target


def prepare(data: config.Data, workdir: epath.PathLike) -> plan.Plan:
    """Decides what the dataset will be, and makes the folder that the pipeline writes to.

    Raises DataError: no raw file.
    """
    stamps = plan.stamps(data)  # before the files are hashed
    raw = plan.raw_files(data)
    return _plan(data, stamps, place_of_whole(data, workdir), _identity(data), raw, raw)


def _plan(
    data: config.Data,
    stamps: tuple[plan.Stamp, ...],
    target: epath.Path,
    identity: dict[str, Any],
    read: Sequence[plan.Raw],
    raw: Sequence[plan.Raw],
) -> plan.Plan:
    return plan.Plan(
        data=data,
        files=tuple(record["path"] for record in read),
        raw=tuple(raw),
        stamps=stamps,
        identity=identity,
        stage=str(artifact.stage_for(target)),
        target=str(target),
        git=provenance.git(),
    )


def publish(chosen: plan.Plan, details: dict[str, Any]) -> None:
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


def _check(chosen: plan.Plan, details: dict[str, Any]) -> None:
    """Raises DataError or ConfigError where the dataset is not fit for use."""
    data, found = chosen.data, details["report"]
    if not found["rows"]:
        raise DataError(f"data.path is {data.path!r} and there is no row of data in it")
    fresh = extension.fresh(found, chosen.base)
    rows, rejected = fresh["rows"], sum(fresh["rejected"].values())
    if rejected > data.max_rejected * rows:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in fresh["rejected"].items())
        kept = rejected_rows.keep(epath.Path(chosen.stage), {**found, **fresh})
        samples = [rejected_rows.line(row) for row in itertools.islice(rejected_rows.read(kept), 2)]
        which = f" --dataset {epath.Path(chosen.target).name}" if chosen.base else ""
        raise DataError(
            f"{rejected:,} of {rows:,} rows of {data.path} were rejected ({reasons}), more than"
            f" data.max_rejected = {data.max_rejected} allows; `podway rejected{which}` shows what"
            f" is kept of them in {kept}, for example {'; '.join(samples)}"
        )
    if not found["kept"]:
        raise ConfigError(
            f"none of {rows - rejected:,} events is left with data.min_user_events ="
            f" {data.min_user_events} and data.min_item_events = {data.min_item_events};"
            " give smaller numbers"
        )
    for split, part in details["splits"].items():
        if not part["examples"]:
            raise DataError(
                f"no user has a {split} example under data.split = {data.split}: too few events"
                f" per user ({found['kept']:,} events of {found['users']:,} users)"
            )


def fingerprint(manifest: artifact.Manifest) -> str:
    """A hash of shards and vocabularies: equal data, equal fingerprint, whatever the raw format."""
    kept = ("train/", "validation/", "test/", "vocabulary/")
    return codec.content_hash(
        sorted(
            [path, file.sha256]
            for file in manifest.files
            if (path := artifact.place(file.path)).startswith(kept)
        )
    )


def report(manifest: artifact.Manifest) -> str:
    """The dataset's numbers, for people."""
    found, splits = manifest.details["report"], manifest.details["splits"]
    rejected = found["rejected"]
    lines = [
        ("rows", found["rows"], "in the raw data"),
        ("kept", found["kept"], "events"),
        *(("filtered", count, f"by {rule}") for rule, count in found["filtered"].items()),
        ("rejected", sum(rejected.values()), "see rejected/" if rejected else ""),
        *(("", count, reason) for reason, count in rejected.items()),
        ("users", found["users"], ""),
        ("items", found["items"], ""),
        ("density", found["density"], "events per pair of user and item"),
        ("tied events", found["tied_events"], "of the events share user and time with another"),
        ("tied users", found["tied_users"], "of the users have their last two events at one time"),
        ("repeats", found["repeated_events"], "events equal an earlier one in user, item and time"),
        *((split, part["examples"], "examples") for split, part in splits.items()),
        ("leakage", found["early_test_targets"], "test targets before the latest train event"),
        *(line for table in manifest.details["tables"] for line in _of_table(table)),
        *extension.lines(manifest),
        ("fingerprint", fingerprint(manifest), ""),
    ]
    head = f"dataset {manifest.name} {manifest.version}"
    return "\n".join([head, *(_line(*line) for line in lines)])


def _of_table(table: dict[str, Any]) -> list[tuple[str, int, str]]:
    """Lines of the report on a side table."""
    return [
        (f"{table['of']} table", table["rows"], f"rows of {table['path']}"),
        *(("  rejected", count, reason) for reason, count in table["rejected"].items()),
        ("  repeated", table["repeated"], "of them have the key of an earlier one"),
        ("  unused", table["unused"], f"of them are of no {table['of']} of the train split"),
        ("  without", table["without"], f"{table['of']}s of the train split have no row"),
    ]


def _line(name: str, value: int | float | str | None, remark: str) -> str:
    if value is None:
        value, remark = "–", "no clock: the order of the rows is the order of time"
    elif isinstance(value, float):
        value = f"{value:.2%}"
    elif isinstance(value, int):
        value = f"{value:,}"
    return f"  {name:<12}{value:>16}  {remark}".rstrip()
