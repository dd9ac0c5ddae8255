"""Machines that are really this one: each an ssh server, with a home folder of its own."""

import contextlib
import dataclasses
import getpass
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

import pytest

from podway.launch.targets.error import LaunchError
from podway.launch.targets.machines import agent
from podway.launch.targets.machines.host import Host
from podway.launch.targets.machines.target import Machines

ROOT = pathlib.Path(__file__).parents[4]
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
"""The server, which is not in everybody's path; it wants to be called by its whole name."""


def required() -> str:
    """The server's program; without it a test is skipped, but fails where CI forgot it."""
    if SSHD is None:
        assert "CI" not in os.environ, "no sshd: .ci/run installs openssh-server"
        pytest.skip("no sshd: install openssh-server")
    return SSHD


@dataclasses.dataclass
class Sshd:
    """A machine.

    Attributes:
      port: of its ssh server.
      home: the home folder of who logs in.
      process: the server; None: the machine is off.
    """

    folder: pathlib.Path
    port: int
    home: pathlib.Path
    process: subprocess.Popen | None = None

    @property
    def host(self) -> str:
        """As a target names it."""
        return f"{getpass.getuser()}@127.0.0.1:{self.port}"

    def on(self) -> None:
        """Starts the server, and waits until it listens."""
        command = [required(), "-D", "-e", "-f", str(self.folder / f"sshd_{self.port}")]
        with (self.folder / f"sshd_{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            time.sleep(0.02)
        raise AssertionError((self.folder / f"sshd_{self.port}.log").read_text())

    def off(self) -> None:
        """Nobody can log in any more, and who was is thrown out."""
        if self.process is not None:
            for child in children(self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, 9)
            self.process.kill()
            self.process.wait()
            self.process = None


def children(pid: int) -> list[int]:
    """Of a process, those of its children first."""
    path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    own = [int(each) for each in path.read_text().split()] if path.exists() else []
    return [each for child in own for each in (*children(child), child)]


@contextlib.contextmanager
def machines(folder: pathlib.Path, count: int) -> Iterator[list[Sshd]]:
    """So many machines, that take the key of `options`."""
    required()
    if os.geteuid() == 0:  # then sshd wants a folder to lock a part of itself up in
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host_key", "key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    shutil.copy(folder / "key.pub", folder / "authorized_keys")
    found = []
    try:
        for number in range(count):
            home = folder / f"home{number}"
            home.mkdir()
            machine = Sshd(folder, free_port(), home)
            (folder / f"sshd_{machine.port}").write_text(
                f"Port {machine.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\n"
                f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\n"
                f"PasswordAuthentication no\nPidFile none\nSetEnv HOME={home}\nMaxStartups 100\n"
            )
            machine.on()
            found.append(machine)
        yield found
    finally:
        for machine in found:
            machine.off()
            for state in machine.home.glob(".podway/launches/*/*/state.json"):
                end(state.parent)


def end(folder: pathlib.Path) -> None:
    """Kills what a test left behind of a process of a launch."""
    if not agent._held(folder / "lock"):
        return
    pid = agent.json.loads((folder / "state.json").read_text()).get("pid")
    for each in [*children(pid), pid] if pid else []:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, 9)


def options(folder: pathlib.Path) -> tuple[str, ...]:
    """ssh's, for these machines alone."""
    return (
        f"IdentityFile={folder}/key",
        "IdentitiesOnly=yes",
        f"UserKnownHostsFile={folder}/known_hosts",
        "StrictHostKeyChecking=accept-new",
    )


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def environment() -> tuple[str, ...]:
    """What processes on the machines need to find this checkout."""
    return (f"PYTHONPATH={ROOT / 'src'}", "JAX_PLATFORMS=cpu")


@dataclasses.dataclass
class LocalSsh:
    """In ssh's place: runs what it is given here, with a home folder for each host.

    Attributes:
      homes: host → its home folder.
      errors: host → what to raise instead.
    """

    homes: Mapping[str, pathlib.Path]
    errors: dict[str, Exception] = dataclasses.field(default_factory=dict)

    def run(self, host: Host, command: str, text: str, *, timeout: float = 60) -> str:
        if str(host) in self.errors:
            raise self.errors[str(host)]
        own = os.environ | {"HOME": str(self.homes[str(host)])}
        done = subprocess.run(
            ["bash", "-c", command],
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=own,
        )
        if done.returncode:
            raise LaunchError(f"{host}: {done.stderr}")
        return done.stdout

    def address(self, host: Host) -> str:
        return "127.0.0.1"


def target(*hosts: str, **changes) -> Machines:
    """A target of hosts that are this machine."""
    given = {"python": sys.executable, "environment": environment(), "port": free_port()}
    return Machines(hosts=hosts, **(given | changes))
