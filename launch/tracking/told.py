"""What a tracking database is told of an artefact, as plain data."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


@dataclasses.dataclass(frozen=True)
class Point:
    """A value of a metric.

    Attributes:
      name: of the metric, as we call it.
      value: may be no finite number.
      step: of the training.
      when: milliseconds since 1970.
    """

    name: str
    value: float
    step: int
    when: int


@dataclasses.dataclass(frozen=True)
class Input:
    """A dataset that was read.

    Attributes:
      name: of the dataset.
      version: its fingerprint: a hash of the raw data, the config and the code.
      place: its folder.
      sources: what it was made of, as the config names it.
      counts: users, items and so on.
    """

    name: str
    version: str
    place: str
    sources: tuple[str, ...]
    counts: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Told:
    """An artefact, as a run of the tracking database.

    Attributes:
      kind: "run", "evaluation", "model", or what else is told: "gate", "rollout".
      name: of the experiment.
      version: tells it from others of its kind and name.
      place: its folder.
      status: what became of it.
      began: milliseconds since 1970.
      ended: likewise; None: it goes on.
      parameters: of its config, by path.
      tags: facts, by name.
      inputs: the datasets.
      curve: values over steps. Of each metric and step the first value stays.
      results: values by which it is judged. Of each metric and step the latest stays.
      of: the key of what it belongs to; "": it stands by itself.
    """

    kind: str
    name: str
    version: str
    place: str
    status: Status
    began: int
    ended: int | None = None
    parameters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
    curve: tuple[Point, ...] = ()
    results: tuple[Point, ...] = ()
    of: str = ""

    @property
    def key(self) -> str:
        """Tells it from everything else of a workdir."""
        return key(self.kind, self.name, self.version)

    @property
    def is_whole(self) -> bool:
        """Whether all is told that there will be to tell; a run that failed may go on."""
        return self.status == "FINISHED" or (self.kind != "run" and self.ended is not None)

    @property
    def title(self) -> str:
        """What it is called in a table."""
        of = f"{self.name} {self.version}"
        return of if self.kind == "run" else f"{self.kind} {of}"


def key(kind: str, name: str, version: str) -> str:
    """See Told.key."""
    return f"{kind}/{name}/{version}"
