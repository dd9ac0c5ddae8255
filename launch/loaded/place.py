"""What a name or a folder stands for: a run, or a published version of a model."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import Literal

from etils import epath

from podway.export import layout
from podway.export.versions import promote as versions
from podway.framework import artifact
from podway.launch.loaded.error import RequestError, require

LATEST = "latest"

_RUN = "experiment.json"
"""Every run has it, finished or not."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a model lies.

    Attributes:
      kind: "run", or "model": published.
      directory: of the run, or of the version.
      name: of the experiment.
      workdir: that it lies in; of a copy elsewhere, whatever is three folders up.
      manifest: of the run, or of the version.
    """

    kind: Literal["run", "model"]
    directory: epath.Path
    name: str
    workdir: epath.Path
    manifest: artifact.Manifest

    def __str__(self) -> str:
        return f"{'run' if self.kind == 'run' else 'model'} {self.directory}"

    def dataset(self) -> epath.Path | None:
        """The dataset that it was made from, if it lies in the workdir."""
        version, folder = self.manifest.inputs.get("dataset", ""), self.workdir / "datasets"
        names = folder.iterdir() if version and folder.exists() else ()
        found = [each / version for each in names if artifact.exists(each / version)]
        return found[0] if found else None

    def run(self) -> epath.Path | None:
        """The run itself, or the one that a model was made of, if it lies in the workdir."""
        if self.kind == "run":
            return self.directory
        version = self.manifest.inputs.get("run", "")
        directory = self.workdir / "runs" / self.name / version
        return directory if version and artifact.exists(directory) else None


def find(
    what: str | os.PathLike[str],
    workdir: epath.PathLike = "workdir",
    *,
    version: int | None = None,
    run: str | None = None,
) -> Place:
    """The place of a model.

    Args:
      what: the name of an experiment: its latest published version, or else its latest run. Or a
        folder: models/NAME/VERSION, models/NAME (the latest version), runs/NAME/RUN, or runs/NAME
        (the latest run).
      workdir: where a name's models/ and runs/ lie.
      version: which published version of a name, or of models/NAME.
      run: which run of a name, or "latest", rather than what is published.

    Raises:
      RequestError: there is no such model; the message says what there is.
      ArtifactError: it is there, but not whole.
    """
    require(version is None or run is None, "a version and a run are given; choose one of them")
    if isinstance(what, str) and "/" not in what and os.sep not in what and what not in (".", ".."):
        return _named(what, epath.Path(workdir), version, run)
    directory = epath.Path(what)
    if "://" not in str(directory):
        directory = epath.Path(directory.absolute())
    require(directory.is_dir(), f"there is no folder {directory}; give {_WANTED}")
    if (directory / layout.MANIFEST).exists():
        found = _published(directory)
    elif (directory / _RUN).exists():
        found = _run(directory)
    elif versions.numbers(directory):
        return _published(directory / str(_chosen(directory, version)))
    elif (latest := _latest_run(directory)) is not None:
        found = _run(directory / run if run and run != LATEST else latest)
        run = None
    else:
        raise RequestError(_no_model(directory))
    require(
        version is None and run is None,
        f"{directory} is one {'run' if found.kind == 'run' else 'version'} already; leave out the"
        f" {'version' if run is None else 'run'}",
    )
    return found


def _named(name: str, workdir: epath.Path, version: int | None, run: str | None) -> Place:
    models, runs = layout.models(workdir) / name, workdir / "runs" / name
    if run is not None:
        latest = _latest_run(runs)
        require(latest is not None, f"{name!r} has no finished run in {workdir / 'runs'}")
        assert latest is not None
        return _run(latest if run == LATEST else runs / run)
    if version is not None or versions.numbers(models):
        return _published(models / str(_chosen(models, version)))
    if (latest := _latest_run(runs)) is not None:
        return _run(latest)
    known = sorted(
        {
            each.name
            for folder in (layout.models(workdir), workdir / "runs")
            if folder.is_dir()
            for each in folder.iterdir()
            if versions.numbers(each) or _latest_run(each) is not None
        }
    )
    raise RequestError(
        f"{name!r} has no published model and no finished run in {workdir} (workdir); models"
        f" there: {', '.join(known) or 'none'}"
    )


def _chosen(models: epath.Path, version: int | None) -> int:
    """The version, which is there, or the latest of those that are whole."""
    whole = [at for at in versions.numbers(models) if (models / str(at) / layout.MANIFEST).exists()]
    there = ", ".join(map(str, whole)) or "none"
    if version is None:
        require(bool(whole), f"no version of {models} is whole")
        return whole[-1]
    require(version in whole, f"{models.name!r} has no version {version}; versions there: {there}")
    return version


def _latest_run(runs: epath.Path) -> epath.Path | None:
    pointer = runs / LATEST
    return runs / pointer.read_text().strip() if pointer.exists() else None


def _published(directory: epath.Path) -> Place:
    manifest = artifact.read(directory, "model", manifest=layout.MANIFEST)
    return Place("model", directory, manifest.name, _above(directory), manifest)


def _run(directory: epath.Path) -> Place:
    require((directory / _RUN).exists(), f"there is no run {directory}")
    require(
        artifact.exists(directory),
        f"the run {directory} is not finished; `podway train` with its config goes on with it",
    )
    manifest = artifact.read_manifest(directory, "run")
    return Place("run", directory, manifest.name, _above(directory), manifest)


def _above(directory: epath.Path) -> epath.Path:
    return directory.parent.parent.parent


_WANTED = "WORKDIR/models/NAME/VERSION, WORKDIR/models/NAME, WORKDIR/runs/NAME/RUN, or a NAME"


def _no_model(directory: epath.Path) -> str:
    """What a folder is instead of one of a model, as a sentence."""
    for kind, what in (("dataset", "a dataset"), ("evaluation", "an evaluation")):
        with contextlib.suppress(artifact.ArtifactError):
            artifact.read_manifest(directory, kind)
            return f"{directory} is of {what}, not of a model; give {_WANTED}"
    if (directory / "models").is_dir() or (directory / "runs").is_dir():
        return f"{directory} is a workdir, not of one model; give a NAME with it as the workdir"
    return f"{directory} is neither of a run nor of a published model; give {_WANTED}"
