"""What is said of the stages of the chain: what becomes of each, its time and its size."""

from __future__ import annotations

import time
from typing import Any

from etils import epath

from podway.framework import artifact
from podway.framework.artifact import upgrade
from podway.framework.code import sources
from podway.framework.page import text


class Stage:
    """A stage whose artefact is there, or is made from now on."""

    def __init__(self, name: str, kind: sources.Kind, fresh: bool):
        self._name, self._fresh = name, fresh
        self._kind: sources.Kind = kind
        self._began = time.monotonic()

    def end(self, directory: epath.Path) -> None:
        """Says how long the artefact took, if it was made, and how large it is."""
        if not self._fresh:
            return
        seconds = time.monotonic() - self._began
        print(f"{self._name}: {text.span(seconds)}, {size(directory, self._kind)}: {directory}")


def begin(name: str, kind: sources.Kind, part: Any, directory: epath.Path, *, fresh: bool) -> Stage:
    """Says what becomes of a stage.

    Args:
      name: of the stage.
      kind: of its artefact.
      part: the config part that this is made from.
      directory: where it is, or will be.
      fresh: whether it is still to be made.
    """
    state = "building" if fresh else "up to date:"
    if not fresh:
        code = sources.code(kind, part)
        if upgrade.is_kept(directory, kind, code, manifest=_manifest(kind)):
            state = "kept, made by other code:"
    print(f"{name}: {state} {directory}", flush=True)
    return Stage(name, kind, fresh)


def unread_weights(model: Any, schema: Any) -> None:
    """Says so where the dataset has event weights that the model does not read."""
    from podway.framework import task
    from podway.framework.schema.schema import EVENT_WEIGHT

    reads = isinstance(model, task.TrainedModel) and EVENT_WEIGHT in model.lengths(schema)
    if schema.has(EVENT_WEIGHT) and not reads:
        print(
            f"  (the dataset has event weights, which {type(model).__name__} does not read: it"
            " learns from all events alike)",
            flush=True,
        )


def size(directory: epath.Path, kind: sources.Kind) -> str:
    """The size of an artefact's own files, as people read it."""
    manifest = artifact.read_manifest(directory, kind, manifest=_manifest(kind))
    return text.size(sum(file.size for file in manifest.files if not file.path.startswith("../")))


def _manifest(kind: sources.Kind) -> str:
    from podway.export import layout

    return layout.MANIFEST if kind == "model" else artifact.MANIFEST
