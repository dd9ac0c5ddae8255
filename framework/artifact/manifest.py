"""What an artefact is: a directory whose manifest.json, written last, says that it is whole.

A version is a hash of what an artefact was made from (config part, inputs' versions, code), so a
stage whose artefact exists need not run. Readers refuse what is incomplete, altered or of a format
that they don't know. All paths go through etils.epath.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from etils import epath

from podway.framework import codec
from podway.framework.artifact import checksum
from podway.framework.artifact.checksum import File
from podway.framework.error import PodwayError

FORMAT = 1
MANIFEST = "manifest.json"
LEFTOVER_DAYS = 7
"""Days after which a stage that nobody touched counts as left by a killed process."""
_BESIDE = "../"
"""Begins the path of a file that another version made."""

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
      kind: "dataset", "run", "evaluation", "model", "gate".
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
