"""One service that `podway up` runs: how it is started, and how one sees that it is ready."""

from __future__ import annotations

import dataclasses
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

from podway.framework.error import ConfigError


@dataclasses.dataclass(frozen=True)
class Service:
    """A process.

    Attributes:
      name: as it stands before its lines.
      does: what for, in a few words.
      command: that starts it.
      ready: URL that answers with 200 once it is.
      ports: that it listens on.
      addresses: where it is asked, by what for.
      says: what the answer at `ready` says, too, once it is.
    """

    name: str
    does: str
    command: Sequence[str]
    ready: str
    ports: Sequence[int]
    addresses: Mapping[str, str]
    says: str = ""

    def is_ready(self, timeout: float = 2.0) -> bool:
        """Whether it says so now."""
        try:
            with urllib.request.urlopen(self.ready, timeout=timeout) as answer:
                return self.says in answer.read().decode(errors="replace")
        except (urllib.error.URLError, OSError, ValueError):
            return False


def check_ports(services: Sequence[Service], host: str) -> None:
    """Raises ConfigError: two services want one port, or somebody listens there."""
    taken: dict[int, str] = {}
    for service in services:
        for port in service.ports:
            if port in taken:
                raise ConfigError(
                    f"{service.name} and {taken[port]} both want port {port}; give another --ports"
                )
            taken[port] = service.name
            with socket.socket() as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    tried.bind((host, port))
                except OSError as error:
                    raise ConfigError(
                        f"{service.name} wants port {port} of {host} ({error.strerror}); end what"
                        " listens there, or give --ports FIRST, a port from which on all are free"
                    ) from None


def table(services: Sequence[Service]) -> str:
    """Where each is asked, for people."""
    rows = [
        (service.name if first else "", what, address)
        for service in services
        for first, (what, address) in zip(
            (True, *[False] * len(service.addresses)), service.addresses.items(), strict=False
        )
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(
        f"  {name:<{widths[0]}}  {what:<{widths[1]}}  {address}" for name, what, address in rows
    )
