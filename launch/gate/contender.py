"""The two versions, the candidate and the champion that it would replace, and how they are held
against each other."""

from __future__ import annotations

import dataclasses

from etils import epath

from podway.export.versions import history
from podway.export.versions import promote as versions
from podway.framework import artifact
from podway.framework.artifact.upgrade import Choice
from podway.framework.config import Experiment
from podway.launch.gate.error import GateError
from podway.launch.loaded import place as places
from podway.launch.loaded.place import Place


@dataclasses.dataclass(frozen=True)
class Options:
    """How a version is judged.

    Attributes:
      workdir: where everything lies.
      code: what becomes of artefacts that other code made.
      experiment: the config as it is now; None: as it was when the run began. Its gate and its
        evaluation count.
      label: whose version is the champion; None: as the gate says.
      again: measure anew, where there is a verdict already.
      champions: the workdir of the champion; None: that of the candidate.
    """

    workdir: epath.PathLike = "workdir"
    code: Choice | None = None
    experiment: Experiment | None = None
    label: str | None = None
    again: bool = False
    champions: epath.PathLike | None = None


@dataclasses.dataclass(frozen=True)
class Contender:
    """A published version and what it was made of.

    Attributes:
      number: of the version.
      place: where it lies.
      run: that it was made of; None: it is gone.
      dataset: likewise.
    """

    number: int
    place: Place
    run: epath.Path | None
    dataset: epath.Path | None

    @property
    def manifest(self) -> artifact.Manifest:
        """Of the version."""
        return self.place.manifest

    @property
    def is_of_labels(self) -> bool:
        """Whether it predicts labels of rows, rather than items."""
        return "labels" in self.manifest.details


def find(model: str, version: int, workdir: epath.PathLike) -> Contender:
    """A published version. Raises RequestError, ArtifactError: it is not there, or not whole."""
    place = places.find(model, workdir, version=version)
    return Contender(version, place, place.run(), place.dataset())


def champion(model: str, workdir: epath.PathLike, label: str = "") -> int | None:
    """The version at a label, or that requests without one get; None: there is none.

    Raises GateError: no such label; ExportError: no such model.
    """
    served, unlabelled, _ = versions.read(model, workdir)
    if not label:
        return unlabelled
    if label not in served.labels and served.labels:
        known = ", ".join(sorted(served.labels))
        raise GateError(
            f"{model} has no label {label!r}, at which the champion would be; it has: {known}"
        )
    return served.labels.get(label)


def was_taken_back(model: str, version: int, workdir: epath.PathLike, label: str = "") -> bool:
    """Whether a version left a label, or what requests without one get, by a rollback last."""
    _, _, entries = versions.read(model, workdir)
    moves = [entry for entry in entries if _moved(entry, version, label)]
    return bool(moves) and moves[-1].action == "rollback" and moves[-1].origin == version


def _moved(entry: history.Entry, version: int, label: str) -> bool:
    there = version in (entry.origin, entry.target)
    return entry.label == label and entry.action != "load" and there
