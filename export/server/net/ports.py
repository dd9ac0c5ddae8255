"""Ports and sockets: whether they can be listened on, and how several processes share one."""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator

from podway.export.server.error import ServerError
from podway.export.server.options import OFF

MAX_SOCKET_PATH = 107
"""Longest name of a Unix socket."""


@contextlib.contextmanager
def shared(what: str, flag: str, host: str, port: int) -> Iterator[int]:
    """The port's number, kept for processes of this user that share it by SO_REUSEPORT.

    Connections go to those that listen, which this does not. Raises ServerError.
    """
    if port == OFF:
        yield OFF
        return
    check_port(what, flag, host, port)
    with socket.socket(_family(host)) as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # after a server that stopped
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind((host, port))
        yield kept.getsockname()[1]


def check_port(what: str, flag: str, host: str, port: int) -> None:
    """Raises ServerError unless the port can be listened on."""
    try:
        socket.create_server((host, port), family=_family(host)).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ServerError(
                f"{what} port {port} on {host} is in use: stop what listens there, or choose"
                f" another by {flag} (0: any free one)"
            ) from error
        raise ServerError(
            f"{what} cannot listen on {host} port {port} (--host, {flag}): {error.strerror}"
        ) from error


def check_socket(path: str) -> None:
    """Raises ServerError unless the Unix socket can be listened on; a dead one is taken over."""
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise ServerError(f"grpc_socket_path {path} is longer than {MAX_SOCKET_PATH} bytes")
    if os.path.lexists(path) and not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise ServerError(f"grpc_socket_path {path} exists and is no socket; give another path")
    try:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
            client.connect(path)
        raise ServerError(f"grpc_socket_path {path} is in use: stop what listens there")
    except ConnectionRefusedError:  # its server has gone
        os.unlink(path)
    except FileNotFoundError:
        pass
    except ServerError:
        raise
    except OSError as error:
        raise ServerError(f"grpc_socket_path {path}: {error.strerror}") from error
    try:  # gRPC would only log what is wrong
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
            probe.bind(path)
        os.unlink(path)
    except OSError as error:
        raise ServerError(f"grpc_socket_path {path}: {error.strerror}") from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
