"""A version's signature: of its manifest, which has the hashes of all its other files.

It lies beside the manifest. Its trusted comment is MODEL/VERSION, where the version was published:
so a version that was signed once cannot take the place of another.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator

from etils import epath

from podway.export import layout
from podway.export.error import ExportError
from podway.export.signature import minisign
from podway.export.signature.minisign import PublicKey, SecretKey
from podway.framework import artifact


def sign(directory: epath.Path, place: str, key: SecretKey) -> None:
    """Signs the version in this folder as that of `place`, which is MODEL/VERSION."""
    content = (directory / layout.MANIFEST).read_bytes()
    artifact.write_atomically(directory / layout.SIGNATURE, key.sign(content, place))


def place(directory: epath.PathLike) -> str:
    """MODEL/VERSION of a folder of this name; the version without zeros in front."""
    path = epath.Path(directory)
    return f"{path.parent.name}/{path.name.lstrip('0') if path.name.isdecimal() else path.name}"


def check(directory: epath.Path, place: str, key: PublicKey) -> None:
    """Raises ExportError or ArtifactError unless the folder holds what was signed as `place`.

    All files are read; none may be missing, altered, or not in the manifest.
    """
    _files(directory, place, _manifest(directory, place, key))
    artifact.read(directory, "model", manifest=layout.MANIFEST)


@contextlib.contextmanager
def copied(directory: epath.Path, place: str, key: PublicKey) -> Iterator[epath.Path]:
    """A checked copy, for this process alone and as long as the block takes.

    What is read from the folder itself could have been replaced after it was checked. Raises as
    `check` does.
    """
    manifest = _manifest(directory, place, key)
    names = _files(directory, place, manifest)
    with tempfile.TemporaryDirectory(prefix="podway-signed-") as folder:
        copy = epath.Path(folder) / directory.name
        for name in (*names, layout.MANIFEST):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
        for name in names:
            (directory / name).copy(copy / name)
        (copy / layout.MANIFEST).write_bytes(manifest)
        artifact.read(copy, "model", manifest=layout.MANIFEST)
        yield copy


def _manifest(directory: epath.Path, place: str, key: PublicKey) -> bytes:
    """The manifest, signed as that of `place`. Raises ExportError."""
    for name in (layout.MANIFEST, layout.SIGNATURE):
        if not (directory / name).exists():
            raise ExportError(
                f"{place} is not signed: it has no {name}; `podway sign` signs what was published"
            )
    content = (directory / layout.MANIFEST).read_bytes()
    said = minisign.check(content, directory / layout.SIGNATURE, key)
    if said != place:
        raise ExportError(f"{place} holds what was signed as {said}")
    return content


def _files(directory: epath.Path, place: str, manifest: bytes) -> list[str]:
    """What lies there beside manifest and signature. Raises ExportError for what is not listed."""
    listed = {file["path"] for file in json.loads(manifest)["files"]}
    found = [
        name for name in artifact.walk(directory) if name not in (layout.MANIFEST, layout.SIGNATURE)
    ]
    if strange := [name for name in found if name not in listed]:
        raise ExportError(f"{place} holds {strange[0]}, which is not in its signed manifest")
    return found
