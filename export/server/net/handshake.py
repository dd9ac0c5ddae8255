"""REST's connections that do not speak TLS yet: how many, and for how long.

asyncio's own server starts handshakes without a limit, and nobody hears of a connection before its
handshake is over: who opens many and stays silent would take all the files there are.
"""

import asyncio
import contextlib
import logging
import socket
import ssl

from podway.export.server.net.connections import Server

log = logging.getLogger(__name__)

_PAUSE = 0.1
"""Seconds until the next try where no more files can be opened."""


async def accept(
    listener: socket.socket, server: Server, context: ssl.SSLContext, *, most: int, seconds: float
) -> None:
    """Takes connections until it is cancelled.

    Args:
      listener: a socket that listens.
      server: what a connection is given to, once it speaks TLS.
      context: the server's keys.
      most: connections, with those of the server; beyond them the oldest handshake is given up.
      seconds: that a handshake may take.
    """
    loop = asyncio.get_running_loop()
    begun: dict[asyncio.Task, None] = {}

    async def shake(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # ssl.SSLError and TimeoutError are such
            await loop.connect_accepted_socket(
                server, connection, ssl=context, ssl_handshake_timeout=seconds
            )

    try:
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                log.warning("no connection can be taken: %s", error.strerror)
                await asyncio.sleep(_PAUSE)
                continue
            if begun and len(begun) + server.count >= most:
                oldest = next(iter(begun))
                oldest.cancel()
                del begun[oldest]
            task = loop.create_task(shake(connection))
            begun[task] = None
            task.add_done_callback(lambda task: begun.pop(task, None))
    finally:
        for task in begun:
            task.cancel()
