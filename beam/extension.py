"""Extensions of datasets: what is extended, by which raw files, and what both share.

An extension lies beside its base. Its manifest lists, as references, the files of those buckets of
users that no new event falls into. datasets/NAME/extensions/WHOLE.json says which extension stands
for the dataset WHOLE, which would have been built of the same raw files at once.
"""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

from etils import epath

from podway.beam import headers, plan
from podway.beam.error import DataError
from podway.beam.steps import facts, stored
from podway.framework import artifact, codec
from podway.framework.error import ConfigError
from podway.framework.schema.schema import SPLITS

LATEST = "latest"


def choose(folder: epath.Path, since: str, config: Any) -> artifact.Manifest:
    """The committed dataset in `folder` that `since` names: a version, or LATEST with this config.

    Raises:
      DataError: there is none.
      ConfigError: it cannot be extended with this config (the versioned JSON).
      ArtifactError: it is not whole.
    """
    version = _latest(folder, config) if since == LATEST else since
    manifest = artifact.read(folder / version, "dataset")
    found = manifest.details.get("extendable")
    if found is None:
        raise ConfigError(
            f"{folder / version} keeps nothing to extend it by; build it anew, without --since and"
            " with data.extendable = True"
        )
    if found != stored.FORMAT:
        raise ConfigError(
            f"{folder / version} keeps its events in format {found}, this Podway in"
            f" {stored.FORMAT}; build it anew, without --since"
        )
    if difference := codec.difference(config, manifest.config, "data"):
        raise ConfigError(
            f"{difference}, in {folder / version}; an extension needs the same config: change it"
            " back, or build the dataset anew, without --since"
        )
    return manifest


def _latest(folder: epath.Path, config: Any) -> str:
    """The version built last of those with this config, or of all if none has it."""
    paths = folder.iterdir() if folder.exists() else ()
    manifests = [
        artifact.read_manifest(path, "dataset")
        for path in paths
        if not path.name.startswith("_") and artifact.exists(path)
    ]
    if not manifests:
        raise DataError(
            f"there is no dataset in {folder} to extend; `podway data` without --since builds one"
        )
    mine = [manifest for manifest in manifests if manifest.config == config]

    def age(manifest: artifact.Manifest) -> tuple[str, int, str]:
        return manifest.created, len(manifest.details.get("raw", ())), manifest.version

    return max(mine or manifests, key=age).version


def new_files(base: artifact.Manifest, raw: Sequence[plan.Raw]) -> tuple[plan.Raw, ...]:
    """The raw files that neither the base nor its ancestors have read, in order.

    Raises DataError: one that they have read is not there as it was.
    """
    unread = collections.Counter(_key(record) for record in raw)
    names = {record["identity"][0] for record in raw} | {record["path"] for record in raw}
    for record in base.details["raw"]:
        if not unread[_key(record)]:
            same_name = not names.isdisjoint((record["identity"][0], record["path"]))
            what = "was changed" if same_name else "is no longer there"
            raise DataError(
                f"{record['path']} {what} since dataset {base.version} was built of it; build the"
                " dataset anew, without --since"
            )
        unread[_key(record)] -= 1
    new = []
    for record in reversed(raw):  # of equal ones the last is new
        if unread[_key(record)] > 0:
            unread[_key(record)] -= 1
            new.append(record)
    return tuple(reversed(new))


def _key(record: plan.Raw) -> tuple[Any, ...]:
    return tuple(record["identity"])


def describe(base: artifact.Manifest, whole: epath.Path) -> plan.Base:
    """What the pipeline must know of the base; `whole` is where the whole would be built."""
    return plan.Base(
        directory=str(whole.parent / base.version),
        version=base.version,
        files=len(base.details["raw"]),
        cuts=base.details["cuts"],
        report=base.details["report"],
        whole=whole.name,
    )


def references(chosen: plan.BuildPlan) -> tuple[Any, ...]:
    """Entries of an extension's manifest: the base's files that belong to it unchanged.

    These are those of the buckets of which the stage has no events, and the rejected rows.
    """
    if chosen.base is None:
        return ()
    stage = epath.Path(chosen.stage)
    touched = set(_buckets(artifact.walk(stage)))
    found = []
    for file in artifact.read_manifest(chosen.base.directory, "dataset").files:
        folder, _, name = artifact.place(file.path).partition("/")
        of_bucket = folder in ("events", *SPLITS) and name.partition(".")[0] not in touched
        if of_bucket or (folder == "rejected" and name.startswith("part-")):
            path = artifact.reference(file.path, chosen.base.version)
            found.append(dataclasses.replace(file, path=path))
    return tuple(found)


def _buckets(paths: Any) -> list[str]:
    """The names, without endings, of the buckets' files of events."""
    events = [path for path in paths if artifact.place(path).startswith("events/")]
    return [artifact.place(path).removeprefix("events/").partition(".")[0] for path in events]


def fresh(report: dict[str, Any], base: plan.Base | None) -> dict[str, Any]:
    """The rows that were read for this dataset, the rejected ones by reason, and those filtered by
    the conditions of data.where."""
    filtered = {rule: n for rule, n in report["filtered"].items() if rule not in facts.LATER}
    if base is None:
        return {"rows": report["rows"], "rejected": report["rejected"], "filtered": filtered}
    return {
        "rows": report["rows"] - base.report["rows"],
        "rejected": _new(report["rejected"], base.report["rejected"]),
        "filtered": _new(filtered, base.report["filtered"]),
    }


def _new(counts: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    """What is counted and was not before."""
    new = {name: count - before.get(name, 0) for name, count in counts.items()}
    return {name: count for name, count in new.items() if count}


def since(chosen: plan.BuildPlan, report: dict[str, Any]) -> dict[str, Any] | None:
    """For the manifest's details: the base, and what is new."""
    if chosen.base is None:
        return None
    return {
        "version": chosen.base.version,
        "files": [record["path"] for record in chosen.raw[chosen.base.files :]],
        **{
            name: report[name] - chosen.base.report[name]
            for name in ("users", "items")
            if report[name] is not None
        },
        **fresh(report, chosen.base),
        "columns": _changes(report["columns"], chosen.base.report.get("columns", ())),
        "buckets": len(_buckets(artifact.walk(epath.Path(chosen.stage)))),
    }


def _changes(groups: Sequence[headers.Group], before: Sequence[headers.Group]) -> list[list[Any]]:
    """[number of files, what differs] of new files with columns that no file of the base has."""
    if not before:
        return []
    usual = max(before, key=lambda one: one["files"])["columns"]
    known = [one["columns"] for one in before]
    return [
        [one["files"], headers.difference(one["columns"], usual)]
        for one in groups
        if one["columns"] not in known
    ]


def lines(manifest: artifact.Manifest) -> list[tuple[str, int, str]]:
    """For the report: what an extension has that its base has not."""
    new = manifest.details.get("since")
    if new is None:
        return []
    buckets, of = _buckets(file.path for file in manifest.files), " of users" * ("users" in new)
    return [
        ("since", len(new["files"]), f"new raw files, beside those of {new['version']}"),
        ("", new["rows"], "new rows"),
        *(("", new[name], f"new {name}") for name in ("users", "items") if name in new),
        *(
            ("", count, f"of the new files {'has' if count == 1 else 'have'} other columns: {said}")
            for count, said in new.get("columns", ())
        ),
        ("", new["buckets"], f"of {len(buckets)} buckets{of} written anew"),
    ]
