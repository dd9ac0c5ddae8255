"""A verified SavedModel → models/NAME/VERSION, served.

Versions are integers, as TensorFlow Serving wants them, and are never used twice, not even after
one was deleted: a server that still holds the old one would not load the new. What is being written
lies in `_staging-…`, which servers ignore. The last step rewrites models.config; until then nothing
is published. Several may publish at the same moment, the same model too: numbers are given out, and
the configuration is changed, one after the other (export/versions/turn.py).
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from etils import epath

from podway.export import layout
from podway.export.error import ExportError
from podway.export.versions import models_config, promote
from podway.export.versions.turn import turn
from podway.framework import artifact

if TYPE_CHECKING:
    from podway.export.signature.minisign import SecretKey

_COUNTER = "highest_version"


def publish(
    model: pathlib.Path,
    *,
    name: str,
    workdir: epath.PathLike,
    serve: bool = True,
    beside: Callable[[int], Mapping[str, str]] = lambda _: {},
    key: SecretKey | None = None,
    **manifest: Any,
) -> epath.Path:
    """Copies a local SavedModel to the next version, commits it and, with `serve`, has it served.

    It replaces the version that served until now; those with a label stay beside it.

    Args:
      model: the verified directory.
      name: of the model.
      workdir: its models/ holds the model and the server's configuration.
      serve: whether it serves from then on; else it waits for a promotion.
      beside: version → texts to lie beside the model, by path.
      key: that signs it; None: it is not signed.
      **manifest: what artifact.commit wants to know beside the kind and the name.

    Returns the version's directory. Whatever fails on the way (a full disk, say) is raised, and
    leaves the configuration as it was and no directory behind.
    """
    home = layout.models(workdir) / name
    config = layout.server_config(workdir)
    with turn(workdir):
        number = _claim(home, models_config.served(config, name).versions)
    target = home / str(number)
    with artifact.staging(target, manifest=layout.MANIFEST) as stage:
        for path in artifact.walk(epath.Path(model)):
            (stage / path).parent.mkdir(parents=True, exist_ok=True)
            (epath.Path(model) / path).copy(stage / path)
        for path, text in beside(number).items():
            (stage / path).parent.mkdir(parents=True, exist_ok=True)
            (stage / path).write_text(text)
        artifact.commit(stage, kind="model", name=name, manifest=layout.MANIFEST, **manifest)
        if key is not None:
            from podway.export.signature import signed  # needs `cryptography`

            signed.sign(stage, signed.place(target), key)
    if serve:
        try:
            promote.serve_exported(name, number, workdir)
        except BaseException:
            if number not in models_config.served(config, name).versions:
                target.rmtree()
            raise
    return target


def served(name: str, workdir: epath.PathLike) -> Mapping[int, artifact.Manifest]:
    """The versions of a model that are served, with their manifests. Raises ArtifactError."""
    home = layout.models(workdir) / name
    return {
        version: artifact.read(home / str(version), "model", manifest=layout.MANIFEST)
        for version in models_config.served(layout.server_config(workdir), name).versions
    }


def published(name: str, workdir: epath.PathLike) -> Mapping[int, artifact.Manifest]:
    """All whole versions of a model, served or not, with their manifests."""
    home = layout.models(workdir) / name
    whole = [at for at in promote.numbers(home) if artifact.exists(home / str(at), layout.MANIFEST)]
    return {
        at: artifact.read_manifest(home / str(at), "model", manifest=layout.MANIFEST)
        for at in whole
    }


def _claim(home: epath.Path, served: Sequence[int]) -> int:
    """The next version's number, written down before it is used, so that it is never used again."""
    counter = home / _COUNTER
    try:
        highest = int(counter.read_text()) if counter.exists() else 0
    except ValueError as error:
        raise ExportError(f"{counter} should hold the highest version ever published") from error
    number = max(highest, *served, 0) + 1
    while (home / str(number)).exists():
        number += 1
    artifact.write_atomically(counter, f"{number}\n")
    return number
