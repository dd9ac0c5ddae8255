"""Plain machines as a typed config: which hosts, what runs there, and how they meet."""

import dataclasses
import re

from podway.framework.error import check
from podway.launch.targets.machines.host import Host

_PAIR = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[^\n\0]*")
_OPTION = re.compile(r"[A-Za-z]+=[^\n\0]+")
_ADDRESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*")


@dataclasses.dataclass(frozen=True)
class Machines:
    """Machines that this one reaches by ssh, and that see one workdir."""

    hosts: tuple[str, ...] = ()
    """HOST, USER@HOST or HOST:PORT each, as `ssh` takes them: names of ~/.ssh/config work. The
    first one runs process 0, builds the dataset, evaluates and exports."""
    python: str = "python3"
    """Python of the environment that has Podway, on every host: ~/podway/bin/python."""
    install: str = ""
    """Shell command that brings Podway into that environment; run on every host before a new
    launch."""
    environment: tuple[str, ...] = ()
    """Environment variables of all processes, NAME=VALUE. No secrets: anyone on the host may read
    them."""
    processes_per_host: int = 1
    """Processes on each host. One uses all its GPUs or TPUs."""
    gpus_per_process: int = 0
    """With several processes on a host: how many of its GPUs each one gets; 0: it sees all."""
    export: bool = True
    """Evaluate and export on the first host after training, which needs podway[export] there."""
    distributed: bool = False
    """The platform tells the processes of each other: for the hosts of one Cloud TPU slice, in the
    order of their worker numbers."""
    coordinator: str = ""
    """Address of the first host as the others reach it; empty: the name that ssh resolves it to."""
    port: int = 6002
    """On which process 0 listens for the others."""
    heartbeat: float = 15.0
    """Seconds without a sign of life after which a process counts as lost, and all start again."""
    max_restarts: int = 20
    """Restarts without a new checkpoint after which a process gives up. While a host is away, the
    others use up one in five minutes."""
    ssh_options: tuple[str, ...] = ()
    """Options of ssh_config(5), NAME=VALUE: IdentityFile=~/.ssh/lab."""
    connect_timeout: int = 10
    """Seconds after which a host that does not answer counts as unreachable."""

    def __post_init__(self):
        for host in self.hosts:
            Host.parse(host)
        twice = sorted({host for host in self.hosts if self.hosts.count(host) > 1})
        check(
            not twice,
            f"target.hosts names {', '.join(twice)} twice; for several processes on a host set"
            " target.processes_per_host",
        )
        check(
            self.python != "" and not self.python.startswith("-") and "\n" not in self.python,
            f"target.python is {self.python!r}; give the path or the name of a Python",
        )
        for name, shape, example in (
            ("environment", _PAIR, "XLA_FLAGS=…"),
            ("ssh_options", _OPTION, "IdentityFile=~/.ssh/lab"),
        ):
            for pair in getattr(self, name):
                check(
                    bool(shape.fullmatch(pair)),
                    f"target.{name} has {pair!r}; give NAME=VALUE, as {example}",
                )
        check(
            not self.coordinator or bool(_ADDRESS.fullmatch(self.coordinator)),
            f"target.coordinator is {self.coordinator!r}; give a host name or an address, without"
            " the port",
        )
        check(
            1024 <= self.port <= 65535,
            f"target.port is {self.port}; give a port from 1024 to 65535",
        )
        for name, least in (
            ("processes_per_host", 1),
            ("gpus_per_process", 0),
            ("heartbeat", 1),
            ("max_restarts", 1),
            ("connect_timeout", 1),
        ):
            value = getattr(self, name)
            check(value >= least, f"target.{name} is {value}; give {least} or more")
        check(
            not (self.distributed and self.processes_per_host > 1),
            f"target.processes_per_host is {self.processes_per_host}, but with target.distributed"
            " the platform says which processes there are: leave one of them out",
        )

    @property
    def variables(self) -> dict[str, str]:
        """The environment, by name."""
        pairs = (pair.partition("=") for pair in self.environment)
        return {name: value for name, _, value in pairs}
