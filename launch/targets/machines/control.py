"""Processes of a launch on their machines: looked at, started, asked to end."""

import dataclasses
import secrets
from collections.abc import Sequence
from typing import Any

from podway.framework.error import check
from podway.launch.targets.error import LaunchError
from podway.launch.targets.machines import status
from podway.launch.targets.machines.launch import Launch, Process, folder, processes
from podway.launch.targets.machines.remote import Remote, each, encoded
from podway.launch.targets.machines.ssh import UnreachableError
from podway.launch.targets.machines.status import Seen

INSTALLED = 3600.0
"""Seconds that an installation may take."""


@dataclasses.dataclass(frozen=True)
class Control:
    """A launch by its name, on the machines of a target.

    Attributes:
      name: of it.
      remote: the machines.
    """

    name: str
    remote: Remote

    @property
    def processes(self) -> list[Process]:
        """All of them."""
        return processes(self.remote.target)

    def look(self, offset: int | None = None, *, of: int = 0, tail: int = 0) -> list[Seen]:
        """What all processes do, and what process `of` writes: from an offset, or its end.

        Raises LaunchError: a host is reached, but not as it should be.
        """

        def one(process: Process) -> dict[str, Any]:
            mine = process.number == of
            return self.remote.ask(
                process.host,
                "look",
                folder=folder(self.name, process),
                offset=offset if mine else None,
                tail=tail if mine else 0,
            )

        return self._seen(each(one, self.processes))

    def stop(self, numbers: Sequence[int] | None = None) -> list[Seen]:
        """Asks processes, by default all, to save and end. What they do then."""
        chosen = [p for p in self.processes if numbers is None or p.number in numbers]
        found = each(
            lambda process: self.remote.ask(
                process.host, "stop", folder=folder(self.name, process)
            ),
            chosen,
        )
        return self._seen(found, chosen)

    def install(self) -> None:
        """Runs target.install on all hosts. Raises LaunchError: it failed somewhere."""
        command = self.remote.target.install
        if not command:
            return
        firsts = [process for process in self.processes if process.local == 0]
        found = each(
            lambda process: self.remote.ask(
                process.host,
                "shell",
                timeout=INSTALLED,
                command=command,
                environment=self.remote.target.variables,
            ),
            firsts,
        )
        for process, said in zip(firsts, found, strict=True):
            if isinstance(said, LaunchError):
                raise said
            last = ([line for line in said["said"].splitlines() if line.strip()] or [""])[-1]
            if said["code"]:
                raise LaunchError(
                    f"{process.host}: target.install ended with {said['code']}: {last}"
                )

    def start(
        self, launch: Launch, coordinator: str, attempt: str, numbers: Sequence[int] | None = None
    ) -> None:
        """Starts processes, by default all. Where one cannot, those that did are ended again.

        Raises LaunchError.
        """
        check(launch.name == self.name, f"{launch.name} is not {self.name}")
        chosen = [p for p in self.processes if numbers is None or p.number in numbers]
        files = encoded(launch.frozen.files)
        found = each(
            lambda process: self.remote.ask(
                process.host,
                "start",
                folder=folder(self.name, process),
                files=files,
                spec=launch.spec(process, coordinator, attempt),
            ),
            chosen,
        )
        errors = [said for said in found if isinstance(said, LaunchError)]
        if errors:
            done = [p.number for p, said in zip(chosen, found, strict=True) if said not in errors]
            self.stop(done)
            raise errors[0]

    def again(self, process: Process, skip: tuple[str, ...] = ()) -> None:
        """Starts a process as it was started before, without stages that are done.

        Raises LaunchError.
        """
        home = folder(self.name, process)
        self.remote.ask(process.host, "again", folder=home, skip=skip)

    def _seen(self, found: list[Any], chosen: Sequence[Process] | None = None) -> list[Seen]:
        for said in found:
            if isinstance(said, LaunchError) and not isinstance(said, UnreachableError):
                raise said
        return [
            status.seen(process, said)
            for process, said in zip(chosen or self.processes, found, strict=True)
        ]


def attempt() -> str:
    """A new name for a start of a launch, from which its restarts are told apart."""
    return secrets.token_hex(4)
