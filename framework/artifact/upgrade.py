"""Artefacts of the same config and inputs, but of other code: which one a command takes.

After an upgrade nothing is made anew unasked, and nothing half-done is forgotten: a command wants
`--code keep` or `--code new`. What is kept says so in its manifest, and is not asked about again.
"""

import json
from collections.abc import Callable, Sequence
from typing import Literal

from etils import epath

from podway.framework import artifact
from podway.framework.error import PodwayError

Choice = Literal["keep", "new"]
"""Take what other code made, or go on with it; or make it anew."""

CODE = "code.json"
"""File of an unfinished artefact: the hashes of the code that worked on it, in order."""


class CodeChanged(PodwayError, ValueError):
    """There is an artefact of the same config and inputs, made by other code."""


def choose(
    target: epath.Path,
    kind: str,
    code: str,
    choice: Choice | None,
    *,
    others: Sequence[epath.Path] | None = None,
    begun: Callable[[epath.Path], bool] = lambda _: False,
    manifest: str = artifact.MANIFEST,
    look: bool = False,
) -> epath.Path:
    """The directory to use: `target`, or that of an artefact which other code made.

    Args:
      target: where an artefact of this code lies or will lie.
      kind: of the artefact.
      code: hash of the sources.
      choice: what to do where there is one of other code only; None: ask, once.
      others: directories of the same config and inputs; None: those beside `target`.
      begun: whether an unfinished one in a directory is worth going on with.
      manifest: name of the manifest.
      look: take the one of other code without a question, and leave it as it is.

    Raises CodeChanged, which names both versions, where it must be asked.
    """
    if choice == "new" or artifact.exists(target, manifest) or (target / CODE).exists():
        return target
    found = [path for path in (siblings(target) if others is None else others) if path != target]
    finished = [path for path in found if artifact.exists(path, manifest)]
    age = {path: artifact.read_manifest(path, kind, manifest=manifest) for path in finished}
    finished.sort(key=lambda path: (age[path].created, path.name))
    candidates = [*(path for path in found if path not in finished and begun(path)), *finished]
    for path in reversed(candidates):
        if code in codes(path, kind, manifest=manifest):
            return path
    if not candidates:
        return target
    other = candidates[-1]
    if not look and choice is None:
        done = other in finished
        raise CodeChanged(
            f"the {kind} {other} is of the same config and inputs, but of other code than version"
            f" {target.name} would be: give --code keep to {'use' if done else 'go on with'} it, or"
            f" --code new to {'make it anew' if done else 'begin anew'}"
        )
    if not look:
        accept(other, kind, code, manifest=manifest)
    return other


def siblings(target: epath.Path) -> list[epath.Path]:
    """The directories beside `target` whose config and inputs are the same, but not the code."""
    if not target.parent.exists():
        return []
    beginning = f"{artifact.identity_of(target.name)}-"
    return sorted(
        path
        for path in target.parent.iterdir()
        if path.name.startswith(beginning) and path.name != target.name
    )


def codes(directory: epath.Path, kind: str, *, manifest: str = artifact.MANIFEST) -> list[str]:
    """Hashes of the code that made an artefact, or was accepted for it since; in order."""
    if artifact.exists(directory, manifest):
        found = artifact.read_manifest(directory, kind, manifest=manifest)
        return found.details.get("code", [found.code])
    path = directory / CODE
    return json.loads(path.read_text()) if path.exists() else []


def is_kept(
    directory: epath.Path, kind: str, code: str, *, manifest: str = artifact.MANIFEST
) -> bool:
    """Whether an artefact was made by other code than this, and kept."""
    return artifact.read_manifest(directory, kind, manifest=manifest).code != code


def accept(
    directory: epath.Path, kind: str, code: str, *, manifest: str = artifact.MANIFEST
) -> None:
    """Writes down that an artefact, finished or not, is taken for one of this code, too."""
    known = codes(directory, kind, manifest=manifest)
    if code in known:
        return
    if artifact.exists(directory, manifest):
        content = json.loads((directory / manifest).read_text())
        content["details"]["code"] = [*known, code]
        artifact.write_atomically(directory / manifest, json.dumps(content, indent=1))
    else:
        artifact.write_atomically(directory / CODE, json.dumps([*known, code]))
