"""A sweep that is under way: what it is of, where it lies, and who else may take part in it."""

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from etils import epath

from podway.framework import artifact, codec
from podway.framework.artifact.upgrade import Choice
from podway.framework.config import Experiment
from podway.framework.config.sweep import Sweep
from podway.framework.error import ConfigError, check
from podway.launch.cost.rate import Rate

FOLDER = "sweeps"
"""In the workdir: sweeps/NAME/VERSION."""
FILE = "plan.json"
_DATABASE = "trials.db"
_REFERRED = ("trials", "minutes", "winner")
"""What may differ when the same sweep goes on: more trials, another time."""
_SCHEMES = re.compile(r"(sqlite:///.+|postgresql(\+\w+)?://.+)")


@dataclasses.dataclass(frozen=True)
class Plan:
    """A sweep under way.

    Attributes:
      experiment: that trials are variants of, with the overrides of the command.
      config: what the command was given for it.
      sweep: what is tried.
      workdir: that the trials' runs lie in.
      storage: address of the trials' database; "": a file in the sweep's folder.
      code: what becomes of artefacts that other code made.
      core: what an hour of a core costs, for the cost of answers; None: nobody said.
    """

    experiment: Experiment
    config: str
    sweep: Sweep
    workdir: str
    storage: str = ""
    code: Choice | None = None
    core: Rate | None = None

    def __post_init__(self):
        check(
            not self.storage or _SCHEMES.fullmatch(self.storage) is not None,
            f"--storage is {_without_password(self.storage)!r}; give sqlite:///FILE for workers of"
            " this machine, or postgresql://USER@HOST/NAME for several",
        )
        check(
            bool(self.storage) or "://" not in self.workdir,
            f"--workdir {self.workdir} cannot hold a database; give --storage"
            " postgresql://USER@HOST/NAME beside it",
        )
        if "cost" in self.sweep.measured:
            missing = "no prices were given" if self.core is None else self.core.missing
            check(not missing, f"objectives and limits: cost needs a price: {missing}")

    @property
    def version(self) -> str:
        """Tells it from other sweeps of the experiment."""
        sweep = codec.to_json(self.sweep)
        content = {name: part for name, part in sweep.items() if name not in _REFERRED}
        parts = {"experiment": codec.to_json(self.experiment, versioned=True), "sweep": content}
        if self.core is not None and "cost" in self.sweep.measured:
            parts["core"] = [self.core.amount, self.core.currency]
        return codec.content_hash(parts)

    @property
    def directory(self) -> epath.Path:
        """Its folder."""
        return epath.Path(self.workdir) / FOLDER / self.experiment.name / self.version

    @property
    def currency(self) -> str:
        """Of what it costs."""
        return "" if self.core is None else self.core.currency

    @property
    def address(self) -> str:
        """Of the trials' database, as SQLAlchemy takes it."""
        if not self.storage:
            return f"sqlite:///{epath.Path(self.directory).absolute()}/{_DATABASE}"
        return re.sub("^postgresql://", "postgresql+psycopg://", self.storage)

    @property
    def study(self) -> str:
        """What it is called in a database that several share."""
        return f"{self.experiment.name}-{self.version}"

    def write(self) -> None:
        """Writes it down for the workers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        content = {
            "experiment": codec.to_json(self.experiment),
            "config": self.config,
            "sweep": codec.to_json(self.sweep),
            "workdir": self.workdir,
            "code": self.code,
            "core": None if self.core is None else dataclasses.asdict(self.core),
        }
        artifact.write_atomically(self.directory / FILE, codec.json_text(content, indent=1))


def read(directory: epath.PathLike, storage: str) -> Plan:
    """What `write` has written; the storage's address, which may hold a password, is not in it."""
    path = epath.Path(directory) / FILE
    try:
        stored = json.loads(path.read_text())
        found = Plan(
            codec.from_json(Experiment, stored["experiment"]),
            stored["config"],
            codec.from_json(Sweep, stored["sweep"]),
            stored["workdir"],
            storage,
            stored["code"],
            _rate(stored.get("core")),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no plan of a sweep: {error}") from error
    check(
        found.version == epath.Path(directory).name,
        f"{path} is of the sweep {found.version}; move it to a folder of that name, or make it anew"
        " by the same command",
    )
    return found


def _rate(stored: Mapping[str, Any] | None) -> Rate | None:
    return None if stored is None else Rate(**{**stored, "sources": tuple(stored["sources"])})


def _without_password(address: str) -> str:
    return re.sub(r":[^:@/]*@", ":…@", address)
