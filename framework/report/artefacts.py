"""What the folders of a workdir say, read for pages.

What is missing or damaged is left out, and is no error: a page shows what there is. Needs no JAX.
"""

import dataclasses
import datetime
import json
import math
import os
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeGuard

from etils import epath

from podway.framework import artifact
from podway.framework.artifact.files import stat
from podway.framework.runs import goodput, lock, records

TABLE, SAMPLES = "table.json", "samples.json"
"""Of an evaluation: its metrics, and some users' lists."""

State = Literal["finished", "training", "failed", "stopped"]
QUIET = 2 * lock.EXPIRES
"""Seconds after which a lock that nobody renews is no sign of a training."""

Cell = Mapping[str, Any]
"""A metric: its "value", and "low" and "high" where it has an interval; None: not finite."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run, whatever became of it.

    Attributes:
      directory: its folder, runs/NAME/RUN.
      experiment: as JSON; {} where it cannot be read.
      manifest: None before it is committed.
      begun: when it began, and on what (records.BEGUN).
      ended: how its training ended, where it is not finished (records.ENDED).
      times: what goodput.json says.
      holder: who trains it, or did so when last seen.
      signs: seconds since 1970 of the last change of its files.
    """

    directory: epath.Path
    experiment: Mapping[str, Any]
    manifest: artifact.Manifest | None
    begun: Mapping[str, Any]
    ended: Mapping[str, Any]
    times: Mapping[str, Any]
    holder: lock.Holder | None
    signs: float

    @property
    def name(self) -> str:
        """Of the experiment."""
        return self.directory.parent.name

    @property
    def version(self) -> str:
        """Of the run."""
        return self.directory.name

    @property
    def workdir(self) -> epath.Path:
        """Where the other artefacts lie."""
        return self.directory.parent.parent.parent

    @property
    def when(self) -> str:
        """When it began, or was committed, where only that is known; ISO 8601."""
        return self.begun.get("when") or (self.manifest.created if self.manifest else "")

    @property
    def inputs(self) -> Mapping[str, str]:
        """Versions of what it is made from."""
        return self.manifest.inputs if self.manifest else self.begun.get("inputs", {})

    @property
    def selection(self) -> str:
        """The validation metric that selects the checkpoint; "" where it is not known."""
        config = self.manifest.config if self.manifest else {}
        return config.get("selection") or self.begun.get("selection") or ""

    @property
    def largest_is_best(self) -> bool:
        """Whether `selection` is best where it is largest."""
        return bool(self.begun.get("largest_is_best", True))

    @property
    def model(self) -> str:
        """The model's class."""
        return _part(self.experiment, "model").get("type", "")

    @property
    def steps(self) -> int:
        """Steps that it shall do; it may stop early."""
        return _part(self.experiment, "trainer").get("steps", 0)

    @property
    def early(self) -> str:
        """Why it ended before its last step, in words; "": it did not."""
        return self.manifest.details.get("ended", "") if self.manifest else ""

    @property
    def done(self) -> int | None:
        """Steps that it has done, where it is finished."""
        if self.manifest is None:
            return None
        return self.manifest.details.get("steps", self.steps)

    @property
    def parent(self) -> str:
        """The folder of the run that it goes on from, or whose parameters it began with; "": it
        began anew."""
        trainer = _part(self.experiment, "trainer")
        if trainer.get("parent"):
            return str(self.directory.parent / str(trainer["parent"]))
        return _part(trainer, "warm_start").get("run") or ""

    @property
    def fitted(self) -> bool:
        """Whether it was fitted rather than trained: it has a checkpoint and no steps."""
        return self.manifest is not None and self.manifest.details.get("selected_step") == 0

    @property
    def state(self) -> State:
        """What became of it."""
        if self.manifest is not None:
            return "finished"
        if self.holder is not None and _age(self.holder.renewed) < QUIET:
            return "training"
        return "failed" if self.ended.get("problem") else "stopped"

    def metrics(self) -> list[dict[str, Any]]:
        """Its records (records.METRICS), those that can be read."""
        return _metrics(self.directory / records.METRICS)

    def validation(self, found: Sequence[Mapping[str, Any]]) -> tuple[int | None, dict[str, Any]]:
        """The step whose checkpoint is the best so far by its records, and its metrics there."""
        if self.manifest is not None:
            details = self.manifest.details
            return details.get("selected_step"), dict(details.get("validation") or {})
        key = f"validation/{self.selection}"
        judged = [record for record in found if is_number(record.get(key))]
        if not judged:
            return None, {}
        sign = 1 if self.largest_is_best else -1
        best = max(judged, key=lambda record: sign * record[key])
        return best["step"], {
            name.removeprefix("validation/"): value
            for name, value in best.items()
            if name.startswith("validation/")
        }


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A committed evaluation."""

    directory: epath.Path
    manifest: artifact.Manifest
    table: Mapping[str, Mapping[str, Cell]]


def run(directory: epath.PathLike) -> Run:
    """The run in a folder."""
    directory = epath.Path(directory)
    signs = [goodput.FILE, records.METRICS, records.BEGUN, "code.json", "experiment.json"]
    return Run(
        directory=directory,
        experiment=mapping(directory / "experiment.json"),
        manifest=manifest(directory, "run"),
        begun=mapping(directory / records.BEGUN),
        ended=mapping(directory / records.ENDED),
        times=mapping(directory / goodput.FILE),
        holder=lock.holder_of(directory),
        signs=max((_modified(directory / name) for name in signs), default=0.0),
    )


def runs(workdir: epath.PathLike) -> Iterator[Run]:
    """All runs of a workdir, by name and version."""
    for directory in _versions(epath.Path(workdir) / "runs"):
        if (directory / "experiment.json").exists() or artifact.exists(directory):
            yield run(directory)


def evaluations(workdir: epath.PathLike, name: str = "*") -> Iterator[Evaluation]:
    """The committed evaluations of a workdir, by name and version; those of one experiment."""
    for directory in _versions(epath.Path(workdir) / "evaluations", name):
        found = manifest(directory, "evaluation")
        if found is not None:
            yield Evaluation(directory, found, table(directory))


def evaluation(of: Run) -> Evaluation | None:
    """The evaluation of a run that was made last."""
    found = [
        each
        for each in evaluations(of.workdir, of.name)
        if each.manifest.inputs.get("run") == of.version and each.table
    ]
    return max(found, key=lambda each: (each.manifest.created, each.directory.name), default=None)


def before(of: Run) -> Run | None:
    """The run that it took its parameters from, or else the one of its name committed before."""
    if of.parent:
        found = run(of.parent)
        return found if found.experiment else None
    others = [
        other
        for other in _versions(of.workdir / "runs", of.name)
        if other.name != of.version and artifact.exists(other)
    ]
    committed = [each for each in map(run, others) if each.manifest and each.manifest.created]
    earlier = [each for each in committed if each.manifest.created <= (of.when or "9")]  # type: ignore[union-attr]
    return max(earlier, key=lambda each: each.manifest.created, default=None)  # type: ignore[union-attr]


def datasets(workdir: epath.PathLike) -> Iterator[tuple[epath.Path, artifact.Manifest]]:
    """The committed datasets of a workdir, by name and version."""
    for directory in _versions(epath.Path(workdir) / "datasets"):
        if (found := manifest(directory, "dataset")) is not None:
            yield directory, found


def dataset(of: Run) -> tuple[epath.Path, artifact.Manifest] | None:
    """The dataset of a run."""
    name, version = _part(of.experiment, "data").get("name"), of.inputs.get("dataset")
    if not name or not version:
        return None
    directory = of.workdir / "datasets" / name / version
    found = manifest(directory, "dataset")
    return None if found is None else (directory, found)


def table(directory: epath.Path) -> dict[str, dict[str, Cell]]:
    """{model: {metric: Cell}} of an evaluation; {} where it cannot be read."""
    found = mapping(directory / TABLE)
    whole = all(
        isinstance(row, dict) and all(isinstance(cell, dict) for cell in row.values())
        for row in found.values()
    )
    return found if whole else {}


def manifest(directory: epath.Path, kind: str) -> artifact.Manifest | None:
    """The manifest of an artefact; None: it is none, or of another kind."""
    try:
        return artifact.read_manifest(directory, kind)
    except (artifact.ArtifactError, OSError, UnicodeDecodeError):
        return None


def mapping(path: epath.PathLike) -> dict[str, Any]:
    """The object in a JSON file; {} where there is none."""
    try:
        found = json.loads(epath.Path(path).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def address(page: epath.PathLike, folder: epath.PathLike) -> str:
    """Where a page is, for a link from a page in a folder."""
    return urllib.parse.quote(os.path.relpath(str(page), str(folder)))


def link(page: epath.Path, folder: epath.PathLike) -> str:
    """Likewise, and "" where there is no such page."""
    return address(page, folder) if page.exists() else ""


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def clock(when: str) -> str:
    """An ISO 8601 time as people read it (UTC); "" for what is none."""
    try:
        return f"{datetime.datetime.fromisoformat(when):%Y-%m-%d %H:%M}"
    except ValueError:
        return ""


def _part(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _metrics(path: epath.Path) -> list[dict[str, Any]]:
    found = []
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and is_number(record.get("step")):
            found.append(record)
    return found


def _versions(home: epath.Path, name: str = "*") -> Iterator[epath.Path]:
    """home/NAME/VERSION, for all names or one; not what is being written, or was left."""
    names = _folders(home) if name == "*" else [home / name]
    for folder in names:
        yield from _folders(folder)


def _folders(folder: epath.Path) -> list[epath.Path]:
    try:
        found = [child for child in folder.iterdir() if child.is_dir()]
    except OSError:
        return []
    return sorted(
        (child for child in found if not child.name.startswith(("_", "."))),
        key=lambda child: child.name,
    )


def _age(when: str) -> float:
    """Seconds since a time (ISO 8601); infinite for what is none."""
    try:
        then = datetime.datetime.fromisoformat(when)
        return (datetime.datetime.now(datetime.UTC) - then).total_seconds()
    except (ValueError, TypeError):
        return math.inf


def _modified(path: epath.Path) -> float:
    try:
        return float(stat(path).mtime)
    except OSError:
        return 0.0
