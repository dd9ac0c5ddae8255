"""The system's ssh client: one shared connection to each host, and its errors in one sentence.

The user's own client, so that ~/.ssh/config, agents, hardware keys and jump hosts do as they do at
the prompt. It never asks: what would need a password is an error.
"""

import contextlib
import dataclasses
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence

from podway.launch.targets.error import LaunchError
from podway.launch.targets.machines.host import Host

FAILED = 255
"""Exit code of ssh itself."""
_MISSING = (126, 127)
"""Exit codes of a shell that does not find a command, or may not run it."""
_SAID = (
    ("Permission denied", "log in once by `{command}`, or load the key into your agent"),
    ("Host key verification failed", "connect once by `{command}` and compare the host's key"),
    ("REMOTE HOST IDENTIFICATION", "its key has changed: find out why before you go on"),
    ("Could not resolve hostname", "there is no host of that name"),
    ("Connection refused", "no ssh server listens there"),
    ("timed out", "it does not answer; is it on, and does this network reach it?"),
    ("No route to host", "this network does not reach it"),
)


class UnreachableError(LaunchError):
    """A host that cannot be talked to now; it may be back later."""


class MissingError(LaunchError):
    """A command that a host does not have."""


@dataclasses.dataclass(frozen=True)
class Ssh:
    """How hosts are reached.

    Attributes:
      options: of ssh_config(5), NAME=VALUE, before those that we set.
      connect_timeout: in seconds.
      control: folder of the shared connections; "": none are shared.
    """

    options: tuple[str, ...] = ()
    connect_timeout: int = 10
    control: str = ""

    def command(self, host: Host) -> list[str]:
        """`ssh` up to the command that it shall run there."""
        given = [*self.options, "BatchMode=yes", f"ConnectTimeout={self.connect_timeout}"]
        given += ["ServerAliveInterval=5", "ServerAliveCountMax=3", "ForwardX11=no"]
        if self.control:
            given += ["ControlMaster=auto", f"ControlPath={self.control}/%C", "ControlPersist=60"]
        flags = [part for option in given for part in ("-o", option)]
        port = ["-p", host.port] if host.port else []
        return ["ssh", "-T", *flags, *port, "--", host.destination]

    def run(self, host: Host, command: str, text: str, *, timeout: float = 60) -> str:
        """What a shell command writes on a host, that reads `text`.

        Raises:
          UnreachableError: there is no connection, or no answer in time.
          MissingError: there is no such command.
          LaunchError: the command failed.
        """
        try:
            done = subprocess.run(
                [*self.command(host), command],
                input=text,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
            )
        except FileNotFoundError as error:
            raise LaunchError(
                "there is no `ssh` on this machine; install the OpenSSH client"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise UnreachableError(f"{host}: no answer within {timeout:.0f} s") from error
        if done.returncode == FAILED:
            raise UnreachableError(f"{host}: {self._explained(host, done.stderr)}")
        if done.returncode in _MISSING:
            raise MissingError(f"{host}: {_last(done.stderr) or 'the command is not there'}")
        if done.returncode:
            said = _last(done.stderr) or f"exit code {done.returncode}"
            raise LaunchError(f"{host}: {said}")
        return done.stdout

    def address(self, host: Host) -> str:
        """The host name that ssh's config stands for."""
        try:
            done = subprocess.run(
                [*self.command(host)[:-2], "-G", "--", host.destination],
                capture_output=True,
                text=True,
            )
        except FileNotFoundError:
            return host.destination.rpartition("@")[2]
        found = [line.split(" ", 1)[1] for line in done.stdout.splitlines() if _names(line)]
        return found[0] if found else host.destination.rpartition("@")[2]

    def _explained(self, host: Host, said: str) -> str:
        last = _last(said) or "ssh could not connect"
        port = ["-p", host.port] if host.port else []
        command = shlex.join(["ssh", *port, host.destination])
        for part, remedy in _SAID:
            if part in said:
                return f"{last}: {remedy.format(command=command)}"
        return last


def _names(line: str) -> bool:
    return line.startswith("hostname ")


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


@contextlib.contextmanager
def connections(
    options: Sequence[str], connect_timeout: int, hosts: Sequence[Host]
) -> Iterator[Ssh]:
    """Hosts by shared connections, which end with the block."""
    folder = tempfile.mkdtemp(prefix="podway-ssh-", dir="/tmp" if os.path.isdir("/tmp") else None)
    ssh = Ssh(tuple(options), connect_timeout, folder)
    try:
        yield ssh
    finally:
        for host in hosts if os.listdir(folder) else ():
            command = ssh.command(host)
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    [*command[:-2], "-O", "exit", *command[-2:]], capture_output=True, timeout=5
                )
        shutil.rmtree(folder, ignore_errors=True)
