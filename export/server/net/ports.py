"""Ports and sockets: whether they can be listened on, and how several processes share one."""

import contextlib
import errno
import logging
import os
import socket
import stat
import uuid
from collections.abc import Iterator

from podway.export.server.error import ServerError
from podway.export.server.options import ANY, OFF, Port

log = logging.getLogger(__name__)

MAX_SOCKET_PATH = 107
"""Longest name of a Unix socket."""


@contextlib.contextmanager
def shared(what: str, flag: str, host: str, port: Port) -> Iterator[int]:
    """The port's number, kept for processes of this user that share it by SO_REUSEPORT.

    Connections go to those that listen, which this does not. Raises ServerError.
    """
    if port == OFF:
        yield OFF
        return
    check_port(what, flag, host, port)
    with socket.socket(family(host)) as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # after a server that stopped
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind((host, bound(port)))
        yield kept.getsockname()[1]


def bound(port: Port) -> int:
    """What the system is asked for: its 0 is any free port."""
    return 0 if port == ANY else port


def check_port(what: str, flag: str, host: str, port: Port) -> None:
    """Raises ServerError unless the port can be listened on."""
    try:
        socket.create_server((host, bound(port)), family=family(host)).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ServerError(
                f"{what} port {port} on {host} is in use: stop what listens there, or choose"
                f" another by {flag}"
            ) from error
        raise ServerError(
            f"{what} cannot listen on {host} port {port} (--host, {flag}): {error.strerror}"
        ) from error


def family(host: str) -> socket.AddressFamily:
    """Of an address to listen on."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class UnixSocket:
    """A Unix socket that takes the place of whatever socket is there, as gRPC's own do.

    It is bound under a name of its own and then renamed. So clients find the old server until they
    find the new one, and the end of the old one takes nothing away: gRPC removes, in the end, the
    name that it bound.

    Attributes:
      path: where clients look.
      bound: what gRPC is to bind.
    """

    def __init__(self, path: str):
        """Raises ServerError where there can be no socket."""
        self.path = path
        self.bound = os.path.join(os.path.dirname(path), f".{uuid.uuid4().hex[:6]}")
        self._inode: int | None = None
        if max(len(os.fsencode(name)) for name in (path, self.bound)) > MAX_SOCKET_PATH:
            raise ServerError(f"grpc_socket_path {path} is longer than {MAX_SOCKET_PATH} bytes")
        if os.path.lexists(path) and not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise ServerError(f"grpc_socket_path {path} exists and is no socket; give another path")
        try:  # gRPC would only log what is wrong
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
                probe.bind(self.bound)
            os.unlink(self.bound)
        except OSError as error:
            raise ServerError(f"grpc_socket_path {path}: {error.strerror}") from error

    def take_over(self) -> None:
        """Puts what gRPC has bound into its place."""
        if os.path.lexists(self.path):
            log.info("%s: taken over from the server that listened there", self.path)
        self._inode = os.stat(self.bound).st_ino
        os.replace(self.bound, self.path)

    def leave(self) -> None:
        """Removes the socket, unless another server has taken over."""
        with contextlib.suppress(OSError):
            if self._inode is not None and os.lstat(self.path).st_ino == self._inode:
                os.unlink(self.path)
