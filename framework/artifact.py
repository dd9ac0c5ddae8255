"""Artefacts: directories whose manifest.json, written last, says that they are whole.

A version is two hashes, IDENTITY-CODE: of what an artefact was made from (kind, config part,
inputs' versions), and of the sources that made it (sources.py). So a stage whose artefact exists
need not run, and what other code made of the same is found beside it (upgrade.py). Readers refuse
what is incomplete, altered or of a format that they don't know. All paths go through etils.epath.
"""

import contextlib
import dataclasses
import datetime
import json
import logging
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from framework import checksum, codec, provenance
from framework.checksum import File
from framework.error import PodwayError

FORMAT = 1
MANIFEST = "manifest.json"
_BESIDE = "../"
"""Begins the path of a file that another version made."""
LEFTOVER_DAYS = 7
"""Days after which a stage that nobody touched counts as left by a killed process."""

_LOG = logging.getLogger(__name__)

# gs:// goes one way, through gcsfs, with TensorFlow installed or not; and what other processes
# write is seen at once.
os.environ.setdefault("EPATH_USE_TF", "false")
os.environ.setdefault("FSSPEC_GCS", '{"use_listings_cache": false}')


class ArtifactError(PodwayError, ValueError):
    """An artefact that is missing, incomplete, altered or foreign; the message says which."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What manifest.json says.

    Attributes:
      kind: "dataset", "run", "evaluation" or "model".
      name: name of the dataset or experiment.
      version: hash of kind, config and inputs, and hash of code.
      inputs: the versions of the artefacts it was made from, by kind.
      config: the part of the experiment it was made by, as JSON.
      code: hash of the source files it was made by; where others were accepted for it, too, all of
        them stand in details["code"].
      files: all files but the manifest itself; those that it shares with an artefact beside it
        have paths as `reference` makes them.
      created: UTC, ISO 8601.
      git: {"commit": …, "dirty": …}, or {} outside a checkout.
      packages: versions of the installed packages that the project depends on.
      details: what the stage wants to tell its readers.
      format: version of this file's own layout.
      directory: name of the directory that it was written in, before it was published.
    """

    kind: str
    name: str
    version: str
    inputs: dict[str, str]
    config: Any
    code: str
    files: tuple[File, ...]
    created: str
    git: dict[str, Any]
    packages: dict[str, str]
    details: dict[str, Any]
    format: int = FORMAT
    directory: str = ""


def version(*, kind: str, config: Any, inputs: Mapping[str, str], code: str) -> str:
    """The version of the artefact that would be made from this: IDENTITY-CODE."""
    identity = codec.content_hash({"kind": kind, "config": config, "inputs": dict(inputs)})
    return f"{identity[:12]}-{code[:8]}"


def identity_of(version: str) -> str:
    """The part of a version that says from what an artefact is, whatever code made it."""
    return version.partition("-")[0]


@contextlib.contextmanager
def staging(target: epath.PathLike, *, manifest: str = MANIFEST) -> Iterator[epath.Path]:
    """A directory to build `target` in; it takes target's place when the block ends well.

    Whatever goes wrong inside the block removes it, so nothing half-written is ever left at
    `target`. A committed `target` is never replaced: raises ArtifactError.
    """
    stage = stage_for(target)
    try:
        yield stage
        publish(stage, target, manifest=manifest)
    finally:
        discard(stage)


def stage_for(target: epath.PathLike) -> epath.Path:
    """A new directory beside `target`, to build it in.

    Another process may publish it. What killed processes left of the same target is removed once
    it is older than LEFTOVER_DAYS. Raises ArtifactError: nothing can be committed there.
    """
    target = epath.Path(target)
    if "://" in str(target) and not str(target).startswith("gs://"):
        raise ArtifactError(f"{target}: artefacts are written to local folders and to gs:// only")
    prefix = f"_staging-{target.name}-"
    stage = target.parent / f"{prefix}{uuid.uuid4().hex[:8]}"
    if str(target).startswith("gs://"):
        from framework import object_store  # needs the extra `gcs`

        object_store.check(str(target))  # there are no directories to make
    else:
        stage.mkdir(parents=True)
    others = target.parent.iterdir() if target.parent.exists() else ()
    for other in others:
        if other.name.startswith(prefix) and other.name != stage.name:
            _remove_leftover(other)
    return stage


def target_of(stage: epath.Path) -> epath.Path:
    """The directory that a stage was made for."""
    return stage.parent / stage.name.removeprefix("_staging-").rpartition("-")[0]


def publish(stage: epath.PathLike, target: epath.PathLike, *, manifest: str = MANIFEST) -> None:
    """Puts a directory that `commit` has completed in target's place; then the stage is gone.

    Of several processes that publish one target exactly one succeeds. On gs:// the manifest comes
    last and is written only where there is none. Published again, the same stage is no error.

    Raises:
      ArtifactError: somebody else was first; the stage is gone.
      OSError: it could not be written; the stage is as it was, and the call can be repeated.
    """
    stage, target = epath.Path(stage), epath.Path(target)
    try:
        if str(target).startswith("gs://"):
            from framework import object_store  # needs the extra `gcs`

            object_store.publish(str(stage), str(target), manifest)
        else:
            from framework import local_store

            local_store.publish(stage, target, manifest)
    except ArtifactError:
        discard(stage)
        raise
    discard(stage)


def published(stage: epath.PathLike, target: epath.PathLike, *, manifest: str = MANIFEST) -> bool:
    """Whether `target` is committed; raises ArtifactError if it is, and from another stage."""
    path = epath.Path(target) / manifest
    if not path.exists():
        return False
    try:
        origin = json.loads(path.read_text()).get("directory")
    except (ValueError, AttributeError):
        origin = None
    if origin != epath.Path(stage).name:
        raise ArtifactError(f"{target} was committed by somebody else meanwhile")
    return True


def discard(stage: epath.PathLike) -> None:
    """Removes a stage, if it is there."""
    if epath.Path(stage).exists():
        epath.Path(stage).rmtree()


def _remove_leftover(stage: epath.Path) -> None:
    """Removes another process's stage if nothing in it changed for LEFTOVER_DAYS."""
    with contextlib.suppress(FileNotFoundError):  # it has just been published
        times = [(stage / path).stat().mtime for path in walk(stage)] or [stage.stat().mtime]
        days = (time.time() - max(times)) / 86_400
        if days > LEFTOVER_DAYS:
            _LOG.info("removing %s, which a killed process left %.0f days ago", stage, days)
            stage.rmtree(missing_ok=True)
        else:
            _LOG.info("%s is being written by another process, or was left by a killed one", stage)


def walk(directory: epath.Path, prefix: str = "") -> Iterator[str]:
    """Relative paths of all files below `directory`, sorted."""
    for child in sorted(directory.iterdir(), key=lambda child: child.name):
        if child.is_dir():
            yield from walk(child, f"{prefix}{child.name}/")
        else:
            yield f"{prefix}{child.name}"


def reference(path: str, version: str) -> str:
    """How an artefact names a file of another version beside it: "../VERSION/PATH".

    What that version only refers to is named where it lies, so that no reference leads to another.
    """
    return path if path.startswith(_BESIDE) else f"{_BESIDE}{version}/{path}"


def place(path: str) -> str:
    """The path of a file in the artefact that it was made for: without the "../VERSION/"."""
    return path.split("/", 2)[2] if path.startswith(_BESIDE) else path


def resolve(directory: epath.PathLike, path: str) -> epath.Path:
    """Where a file lies whose path stands in the manifest of the artefact in `directory`."""
    directory = epath.Path(directory)
    if "://" in str(directory) and path.startswith(_BESIDE):  # ".." is a mere name there
        return directory.parent / path.removeprefix(_BESIDE)
    return directory / path


def commit(
    directory: epath.PathLike,
    *,
    kind: str,
    name: str,
    version: str,
    config: Any,
    inputs: Mapping[str, str],
    code: str,
    details: Mapping[str, Any] | None = None,
    git: Mapping[str, Any] | None = None,
    references: Sequence[File] = (),
    manifest: str = MANIFEST,
) -> Manifest:
    """Hashes all files below `directory` and writes its manifest, whole or not at all.

    `git` is the commit of the checkout that launched the work, where that was another machine;
    `references` are files of other versions that belong to this one too (see `reference`).
    """
    directory = epath.Path(directory)
    own = checksum.describe(directory, [path for path in walk(directory) if path != manifest])
    files = (*own, *references)
    content = Manifest(
        kind=kind,
        name=name,
        version=version,
        inputs=dict(inputs),
        config=config,
        code=code,
        files=files,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        git=dict(provenance.git() if git is None else git),
        packages=provenance.packages(),
        details=dict(details or {}),
        directory=directory.name,
    )
    write_atomically(directory / manifest, json.dumps(dataclasses.asdict(content), indent=1))
    return content


def write_atomically(path: epath.PathLike, text: str) -> None:
    """Replaces a file's content in one step: readers see the old text or the new, never a part."""
    path = epath.Path(path)
    if "://" in str(path):  # an object is put whole
        path.write_text(text)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}-{uuid.uuid4().hex[:8]}"
    try:
        temporary.write_text(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def exists(directory: epath.PathLike, manifest: str = MANIFEST) -> bool:
    """Whether an artefact was committed here."""
    return (epath.Path(directory) / manifest).exists()


def read(
    directory: epath.PathLike,
    kind: str,
    *,
    unread: tuple[str, ...] = (),
    manifest: str = MANIFEST,
) -> Manifest:
    """The manifest of a committed artefact, after checking every file's size and hash.

    Files below the folders `unread` ("events/") are not looked at.

    Raises:
      ArtifactError: no manifest, another kind, an unknown format, a file missing or altered.
    """
    result = read_manifest(directory, kind, manifest=manifest)
    files = [file for file in result.files if not place(file.path).startswith(unread)]
    if problem := checksum.difference((resolve(directory, file.path), file) for file in files):
        raise ArtifactError(problem)
    return result


def read_manifest(directory: epath.PathLike, kind: str, *, manifest: str = MANIFEST) -> Manifest:
    """As `read`, without a look at the files."""
    directory = epath.Path(directory)
    path = directory / manifest
    if not path.exists():
        raise ArtifactError(f"{directory} is no committed {kind}: it has no {manifest}")
    try:
        content = json.loads(path.read_text())
        found = content["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is not a manifest: {error}") from error
    if found != FORMAT:
        raise ArtifactError(f"{path} has format {found}; this Podway reads format {FORMAT}")
    try:
        content["files"] = tuple(File(**file) for file in content["files"])
        result = Manifest(**content)
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is not a manifest: {error}") from error
    if result.kind != kind:
        raise ArtifactError(f"{directory} is a {result.kind}, not a {kind}")
    return result
