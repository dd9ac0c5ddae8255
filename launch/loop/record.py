"""What continuous training has done: WORKDIR/loops/NAME.

    cycles/000001.json   a cycle, written anew after each of its stages
    aside.json           raw files that failed a check, which later cycles leave out

Each file is replaced in one step. So whatever kills a command leaves a cycle that says which stage
comes next, and the next command goes on there.
"""

import dataclasses
import datetime
import json
from typing import Any, Literal

from etils import epath

from podway.framework import artifact
from podway.framework.error import PodwayError

Step = Literal["check", "data", "train", "evaluate", "export", "gate", "rollout"]
Outcome = Literal["", "served", "stopped", "unchanged"]


class RecordError(PodwayError, ValueError):
    """A file of the record that cannot be read; the message names it."""


@dataclasses.dataclass(frozen=True)
class Cycle:
    """From new raw files to a served model.

    Attributes:
      number: from 1.
      began: UTC, ISO 8601.
      why: what started it.
      files: the raw files that are new.
      exclude: those that are left out, as they were set aside before.
      after: version of the last dataset that passed its checks; "": none, or its files are not what
        they were.
      rebuild: whether all files are read anew, rather than `after` extended.
      champion: the version that served when it began; None: none.
      warm_start: folder of the run whose parameters training begins at; "": at random ones.
      step: what comes next.
      dataset: version of the dataset, once it is there; so of what follows.
      run: version of the run.
      evaluation: version of the evaluation.
      model: number of the published version.
      gate: folder of the gate's verdict.
      outcome: "": it is not over; "served", "stopped" by a check or the gate, or "unchanged": the
        version that serves is of this dataset and config already.
      reason: of the outcome, in a sentence.
      ended: UTC, ISO 8601.
    """

    number: int
    began: str
    why: str
    files: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    after: str = ""
    rebuild: bool = False
    champion: int | None = None
    warm_start: str = ""
    step: Step = "check"
    dataset: str = ""
    run: str = ""
    evaluation: str = ""
    model: int | None = None
    gate: str = ""
    outcome: Outcome = ""
    reason: str = ""
    ended: str = ""

    def over(self, outcome: Outcome, reason: str) -> "Cycle":
        """The same, ended now."""
        return dataclasses.replace(self, outcome=outcome, reason=reason, ended=now())


@dataclasses.dataclass(frozen=True)
class Aside:
    """A raw file that failed a check.

    Attributes:
      path: of the file.
      identity: of its content then; a file that was mended has another one, and is read again.
      cycle: number of the cycle that set it aside.
      reason: in a sentence.
    """

    path: str
    identity: tuple[Any, ...]
    cycle: int
    reason: str


def folder(name: str, workdir: epath.PathLike) -> epath.Path:
    """Of the experiment's record."""
    return epath.Path(workdir) / "loops" / name


def cycles(home: epath.Path) -> tuple[Cycle, ...]:
    """All cycles, oldest first. Raises RecordError."""
    files = (home / "cycles").iterdir() if (home / "cycles").exists() else ()
    return tuple(_read(file) for file in sorted(files) if file.name.endswith(".json"))


def write(home: epath.Path, cycle: Cycle) -> Cycle:
    """Writes a cycle as it is now, and returns it."""
    (home / "cycles").mkdir(parents=True, exist_ok=True)
    text = json.dumps(dataclasses.asdict(cycle), indent=1, ensure_ascii=False)
    artifact.write_atomically(home / "cycles" / f"{cycle.number:06}.json", text + "\n")
    return cycle


def asides(home: epath.Path) -> tuple[Aside, ...]:
    """What is set aside. Raises RecordError."""
    path = home / "aside.json"
    if not path.exists():
        return ()
    try:
        entries = json.loads(path.read_text())
        return tuple(Aside(**each | {"identity": tuple(each["identity"])}) for each in entries)
    except (ValueError, TypeError, KeyError) as error:
        raise RecordError(f"{path} is no list of files that were set aside: {error}") from error


def set_aside(home: epath.Path, entries: tuple[Aside, ...]) -> None:
    """Replaces what is set aside."""
    home.mkdir(parents=True, exist_ok=True)
    text = json.dumps([dataclasses.asdict(each) for each in entries], indent=1, ensure_ascii=False)
    artifact.write_atomically(home / "aside.json", text + "\n")


def now() -> str:
    """This moment, UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _read(path: epath.Path) -> Cycle:
    try:
        found = json.loads(path.read_text())
        lists = {name: tuple(found[name]) for name in ("files", "exclude")}
        return Cycle(**found | lists)
    except (ValueError, TypeError, KeyError) as error:
        raise RecordError(f"{path} is no record of a cycle: {error}") from error
