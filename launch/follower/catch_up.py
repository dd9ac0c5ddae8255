"""What no follower has told: a run, or all that a workdir holds."""

from collections.abc import Iterator

from etils import epath

from podway.export import layout
from podway.export.versions import promote
from podway.framework import artifact
from podway.framework.config import Tracking
from podway.framework.error import PodwayError
from podway.framework.report import artefacts
from podway.launch.gate import record as gates
from podway.launch.tracking import others
from podway.online.rollout import store

Artefact = tuple[str, epath.Path]
"""Its kind, and its folder."""


def found(place: epath.PathLike) -> tuple[epath.Path, list[Artefact]]:
    """The workdir, and what there is to tell of the folder of a run, or of a workdir; oldest first.

    Raises PodwayError: it is neither.
    """
    directory = epath.Path(place)
    if (directory / "experiment.json").exists() or artifact.exists(directory):
        of = artefacts.run(directory)
        if of.when:
            mine = [each for each in _of(of.workdir) if each[0] != "run" and _is_of(each, of)]
            return of.workdir, [("run", directory), *mine]
    if not any((directory / part).is_dir() for part in ("runs", "evaluations", "models")):
        raise PodwayError(
            f"{directory} is neither a run nor a workdir: give WORKDIR/runs/NAME/RUN, or a folder"
            " that holds runs/"
        )
    return directory, list(_of(directory))


def tracking(workdir: epath.Path, told: list[Artefact]) -> Tracking:
    """Where the newest run says that it is told of; Tracking() where none does."""
    runs = [directory for kind, directory in told if kind == "run"]
    for directory in reversed(runs):
        part = artefacts.mapping(directory / "experiment.json").get("tracking") or {}
        if part.get("uri"):
            return Tracking(part["uri"], part.get("experiment") or "")
    return Tracking()


def _of(workdir: epath.Path) -> Iterator[Artefact]:
    runs = sorted(artefacts.runs(workdir), key=lambda run: (run.when, run.version))
    yield from (("run", run.directory) for run in runs if run.when)
    evaluations = list(artefacts.evaluations(workdir))
    evaluations.sort(key=lambda each: each.manifest.created)
    yield from (("evaluation", each.directory) for each in evaluations)
    home = layout.models(workdir)
    folders = sorted(home.iterdir(), key=lambda path: path.name) if home.is_dir() else ()
    for folder in folders:
        yield from (("model", folder / str(number)) for number in promote.numbers(folder))
    yield from (("gate", directory) for directory in gates.all_of(workdir))
    yield from (("rollout", folder) for folder in folders if (folder / store.HISTORY).exists())
    yield from others.found(workdir)


def _is_of(each: Artefact, run: artefacts.Run) -> bool:
    """Whether an artefact was made of a run; a rollout tells of several."""
    kind, directory = each
    if kind == "rollout":
        return False
    if others.is_one(directory):
        return artefacts.mapping(directory / others.FILE).get("run") == run.version
    manifest = layout.MANIFEST if kind == "model" else artifact.MANIFEST
    inputs = artefacts.mapping(directory / manifest).get("inputs") or {}
    name = directory.parents[1 if kind == "gate" else 0].name
    return name == run.name and inputs.get("run") == run.version
