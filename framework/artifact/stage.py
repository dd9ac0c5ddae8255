"""How an artefact is written: in a stage beside its place, then published, whole or not at all."""

import contextlib
import dataclasses
import datetime
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from podway.framework import codec
from podway.framework.artifact import checksum
from podway.framework.artifact import manifest as manifests
from podway.framework.artifact.checksum import File
from podway.framework.artifact.files import stat
from podway.framework.artifact.manifest import MANIFEST, ArtifactError, Manifest
from podway.framework.code import provenance

_LOG = logging.getLogger(__name__)


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
        from podway.framework.artifact import gcs  # needs the extra `gcs`

        gcs.check(str(target))  # there are no directories to make
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
            from podway.framework.artifact import gcs  # needs the extra `gcs`

            gcs.publish(str(stage), str(target), manifest)
        else:
            from podway.framework.artifact import local

            local.publish(stage, target, manifest)
    except ArtifactError:
        discard(stage)
        raise
    discard(stage)


def exchange(path: epath.PathLike, change: Callable[[str], str | None]) -> None:
    """Replaces the text of a small file by what `change` makes of it, as if nobody else were there.

    "" stands for no file, None leaves what is there. Of several processes one comes after the
    other: `change` may be called again, with what another one wrote. Raises OSError.
    """
    path = epath.Path(path)
    if str(path).startswith("gs://"):
        from podway.framework.artifact import gcs  # needs the extra `gcs`

        gcs.exchange(str(path), change)
    else:
        from podway.framework.artifact import local

        local.exchange(path, change)


def discard(stage: epath.PathLike) -> None:
    """Removes a stage, if it is there."""
    if epath.Path(stage).exists():
        epath.Path(stage).rmtree()


def _remove_leftover(stage: epath.Path) -> None:
    """Removes another process's stage if nothing in it changed for LEFTOVER_DAYS."""
    with contextlib.suppress(FileNotFoundError):  # it has just been published
        times = [stat(stage / path).mtime for path in walk(stage)] or [stat(stage).mtime]
        days = (time.time() - max(times)) / 86_400
        if days > manifests.LEFTOVER_DAYS:
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
    unlisted: Sequence[str] = (),
    manifest: str = MANIFEST,
) -> Manifest:
    """Hashes all files below `directory` and writes its manifest, whole or not at all.

    `git` is the commit of the checkout that launched the work, where that was another machine;
    `references` are files of other versions that belong to this one too (see `reference`);
    `unlisted` are files that are written anew later on, and no reader depends on: pages.
    """
    directory = epath.Path(directory)
    left_out = {manifest, *unlisted}
    own = checksum.describe(directory, [path for path in walk(directory) if path not in left_out])
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
    write_atomically(directory / manifest, codec.json_text(dataclasses.asdict(content), indent=1))
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
