"""The agent on many machines at once: one request each, one answer or error each."""

import base64
import contextlib
import dataclasses
import json
import pathlib
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any, TypeVar

from podway.launch.targets.error import LaunchError
from podway.launch.targets.machines import agent, ssh
from podway.launch.targets.machines.host import Host
from podway.launch.targets.machines.ssh import MissingError, Ssh
from podway.launch.targets.machines.target import Machines

T = TypeVar("T")
AT_ONCE = 32
"""Hosts that are talked to at the same time."""


@dataclasses.dataclass(frozen=True)
class Remote:
    """The machines of a target.

    Attributes:
      target: it.
      ssh: how they are reached.
    """

    target: Machines
    ssh: Ssh

    def ask(self, host: Host, do: str, *, timeout: float = 60, **arguments: Any) -> dict[str, Any]:
        """What the agent answers.

        Raises:
          UnreachableError: there is no connection.
          LaunchError: the agent failed.
        """
        source = pathlib.Path(agent.__file__).read_text()
        request = {"do": do, "with": arguments}
        program = f"{source}\n\nmain(json.loads({json.dumps(request)!r}))\n"
        try:
            said = self.ssh.run(host, python(self.target.python), program, timeout=timeout)
        except MissingError as error:
            raise LaunchError(
                f"{error}; target.python is {self.target.python!r}: give the Python of an"
                " environment that has Podway there"
            ) from error
        answers = [line for line in said.splitlines() if line.startswith(agent.ANSWER)]
        if not answers:
            raise LaunchError(f"{host}: {self.target.python!r} answers as no Python does")
        return json.loads(answers[-1].removeprefix(agent.ANSWER))


def python(path: str) -> str:
    """The shell's command that runs a program from its input; ~ is the home folder there."""
    if path.startswith("~/"):
        return f'exec "$HOME"/{shlex.quote(path[2:])} -'
    return f"exec {shlex.quote(path)} -"


@contextlib.contextmanager
def connected(target: Machines) -> Iterator[Remote]:
    """The machines of a target; connections end with the block."""
    hosts = [Host.parse(host) for host in target.hosts]
    with ssh.connections(target.ssh_options, target.connect_timeout, hosts) as shared:
        yield Remote(target, shared)


def each(act: Callable[[T], Any], items: Sequence[T]) -> list[Any]:
    """Does something for all, at once: the results, or the LaunchError in a result's place."""

    def tried(item: T) -> Any:
        try:
            return act(item)
        except LaunchError as error:
            return error

    with futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(tried, items))


def encoded(files: Mapping[str, bytes]) -> dict[str, str]:
    """Files as JSON can carry them."""
    return {path: base64.b64encode(content).decode() for path, content in files.items()}
