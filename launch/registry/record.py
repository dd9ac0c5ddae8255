"""What a workdir says of its published models: the truth, of which any database is a copy."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from etils import epath

from podway.export import layout
from podway.export.versions import promote
from podway.framework import artifact, codec
from podway.framework.error import PodwayError
from podway.framework.report import artefacts
from podway.launch.gate import admission, contender
from podway.launch.gate import record as gates
from podway.launch.gate.text import reasons
from podway.online.error import OnlineError
from podway.online.rollout import store
from podway.online.rollout.state import State

CHAMPION, CHALLENGER = "champion", "challenger"
"""The version that requests without a label get; the one that is tried beside it, or may be."""
TRIED = (CHALLENGER, "canary", "shadow")
"""Labels of the version that is tried: the first that there is counts."""


@dataclasses.dataclass(frozen=True)
class Version:
    """A published version of a model.

    Attributes:
      model: its name.
      number: of the version.
      place: its folder.
      artefact: hash of what it was made from, and of the code.
      files: hash of the contents of its files.
      published: UTC, ISO 8601.
      verified: the report of its verification; "": there is none.
      inputs: versions of the run and the datasets that it is made from.
      commit: of the checkout that exported it; "": it was none.
      dirty: whether that had changes.
      served: whether models.config asks for it.
      labels: that stand at it.
      aliases: what it is called: its labels, and CHAMPION, CHALLENGER.
      metrics: of its run's evaluation that was made last, on the test split.
      gate: what its last verdict says; "": it was not judged.
      report: the page of that.
      rollout: where its last rollout stands, or how it ended; "": it had none.
    """

    model: str
    number: int
    place: str
    artefact: str
    files: str
    published: str
    verified: str
    inputs: Mapping[str, str]
    commit: str
    dirty: bool
    served: bool
    labels: tuple[str, ...]
    aliases: tuple[str, ...]
    metrics: Mapping[str, float]
    gate: str = ""
    report: str = ""
    rollout: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def models(workdir: epath.PathLike) -> list[str]:
    """The names of the models that a workdir has published versions of."""
    home = layout.models(workdir)
    folders = home.iterdir() if home.is_dir() else ()
    return sorted(folder.name for folder in folders if promote.numbers(folder))


def versions(model: str, workdir: epath.PathLike) -> list[Version]:
    """The published versions, rising. Raises ExportError: there is none."""
    served, _, _ = promote.read(model, workdir)
    names = aliases(model, workdir)
    home = layout.models(workdir) / model
    rollouts, found = last_rollouts(home), []
    for number in promote.numbers(home):
        manifest = _manifest(home / str(number))
        if manifest is None:
            continue
        gate, report = judged(model, number, workdir)
        found.append(
            Version(
                model=model,
                number=number,
                place=str(home / str(number)),
                artefact=manifest.version,
                files=codec.content_hash([[file.path, file.sha256] for file in manifest.files]),
                published=manifest.created,
                verified=str(manifest.details.get(promote.VERIFIED, "")),
                inputs=manifest.inputs,
                commit=str(manifest.git.get("commit", "")),
                dirty=bool(manifest.git.get("dirty")),
                served=number in served.versions,
                labels=tuple(sorted(name for name, at in served.labels.items() if at == number)),
                aliases=tuple(sorted(name for name, at in names.items() if at == number)),
                metrics=_metrics(model, workdir, manifest),
                gate=gate,
                report=report,
                rollout=stands(rollouts[number]) if number in rollouts else "",
            )
        )
    return found


def aliases(model: str, workdir: epath.PathLike) -> dict[str, int]:
    """Name → version: each label of models.config, CHAMPION, and CHALLENGER: the version that is
    tried, or else the newest above the champion that passed its gate and waits for users."""
    served, unlabelled, _ = promote.read(model, workdir)
    found = dict(served.labels)
    champion = served.labels.get(CHAMPION, unlabelled)
    tried = next((served.labels[label] for label in TRIED if label in served.labels), None)
    if tried is None:
        tried = _waiting(model, workdir, champion or 0)
    if tried is not None:
        found[CHALLENGER] = tried
    return found | ({CHAMPION: champion} if champion is not None else {})


def judged(model: str, number: int, workdir: epath.PathLike) -> tuple[str, str]:
    """What the last verdict on a version says, and the page of it; "", "": there is none."""
    directory = gates.latest(workdir, model, number)
    if directory is None:
        return "", ""
    page = str(directory / gates.PAGE)
    try:
        verdict = gates.read(directory)
    except PodwayError as error:
        return f"cannot be read: {error}", page
    against = "no champion" if verdict.champion is None else f"champion {verdict.champion}"
    if verdict.passed:
        return f"passed against {against}", page
    return f"not passed against {against}: {reasons(verdict)}", page


def last_rollouts(home: epath.Path) -> dict[int, State]:
    """Version → the last state of its last rollout."""
    try:
        return {state.version: state for state in store.history(home)}
    except OnlineError:  # of another time; `podway rollout MODEL --status` says which line
        return {}


def stands(state: State) -> str:
    """Where a rollout stands, in words."""
    said = str(state).partition(": ")[2]
    return f"{said}, since {state.since}"


def _waiting(model: str, workdir: epath.PathLike, champion: int) -> int | None:
    """The newest version above the champion that passed its gate, and did not come back."""
    home = layout.models(workdir) / model
    rollouts = last_rollouts(home)
    for number in reversed(promote.numbers(home)):
        if number <= champion:
            return None
        state = rollouts.get(number)
        if state is not None and state.phase in ("returning", "returned"):
            continue
        try:
            verdict = admission.passed(workdir, model, number)
        except PodwayError:
            continue
        if verdict and not contender.was_taken_back(model, number, workdir, verdict.label):
            return number
    return None


def is_alias(name: str) -> bool:
    """Whether a registry takes a label as the name of a version."""
    reserved = name.lower() == "latest" or re.fullmatch(r"[vV]\d+", name)
    return bool(re.fullmatch(r"[\w-]+", name)) and not reserved


def find(model: str, number: str, workdir: epath.PathLike) -> Version:
    """A version by its number, or by what it is called ("champion"). Raises PodwayError."""
    found = versions(model, workdir)
    named = aliases(model, workdir)
    wanted = named.get(number, int(number) if number.isdecimal() else None)
    for each in found:
        if each.number == wanted:
            return each
    there = ", ".join([*(str(each.number) for each in found), *sorted(named)])
    raise PodwayError(f"{model} has no version {number!r} in {workdir}; there are: {there}")


def _manifest(directory: epath.Path) -> artifact.Manifest | None:
    try:
        return artifact.read_manifest(directory, "model", manifest=layout.MANIFEST)
    except (artifact.ArtifactError, OSError, UnicodeDecodeError):
        return None


def _metrics(model: str, workdir: epath.PathLike, manifest: artifact.Manifest) -> dict[str, float]:
    run = epath.Path(workdir) / "runs" / model / manifest.inputs.get("run", "-")
    evaluated = artefacts.evaluation(artefacts.run(run))
    row = next(iter(evaluated.table.values()), {}) if evaluated else {}
    return {
        name: float(cell["value"])
        for name, cell in row.items()
        if "[" not in name and artefacts.is_number(cell.get("value"))
    }
