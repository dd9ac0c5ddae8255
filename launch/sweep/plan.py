"""A sweep that is under way: what it is of, where it lies, and who else may take part in it."""

import dataclasses
import json
import re

from etils import epath

from podway.framework import artifact, codec
from podway.framework.artifact.upgrade import Choice
from podway.framework.config import Experiment
from podway.framework.config.sweep import Sweep
from podway.framework.error import ConfigError, check

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
    """

    experiment: Experiment
    config: str
    sweep: Sweep
    workdir: str
    storage: str = ""
    code: Choice | None = None

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

    @property
    def version(self) -> str:
        """Tells it from other sweeps of the experiment."""
        sweep = codec.to_json(self.sweep)
        content = {name: part for name, part in sweep.items() if name not in _REFERRED}
        parts = codec.to_json(self.experiment, versioned=True)
        return codec.content_hash({"experiment": parts, "sweep": content})

    @property
    def directory(self) -> epath.Path:
        """Its folder."""
        return epath.Path(self.workdir) / FOLDER / self.experiment.name / self.version

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
        )
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{path} is no plan of a sweep: {error}") from error
    check(
        found.version == epath.Path(directory).name,
        f"{path} is of the sweep {found.version}; move it to a folder of that name, or make it anew"
        " by the same command",
    )
    return found


def _without_password(address: str) -> str:
    return re.sub(r":[^:@/]*@", ":…@", address)
