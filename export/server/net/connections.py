"""REST's connections: how many, how long they may be idle, and what they hear when it is no HTTP.

aiohttp reads HTTP; here stands what it leaves to a proxy in front: a time for the head of a
request, a cap, and answers of JSON to what it cannot read.
"""

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.http import HttpVersion10, HttpVersion11
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from podway.export.server.api import rest

_UNREADABLE = "UNKNOWN"
"""The method of the request that aiohttp makes up for what it could not read."""
_LINGER_SECONDS = 2.0
"""For a client that is still sending when it is refused: it shall read why."""
_WRITE_SECONDS = 60.0
"""In which a client has to read its answer."""


class Server(web.Server):
    """A server of at most so many connections; beyond them the one that is idle longest ends."""

    def __init__(self, handler: Any, *, most: int, header_seconds: float, **options: Any):
        super().__init__(handler, request_factory=_request, **options)
        self._most = most
        self.header_seconds = header_seconds

    def __call__(self) -> RequestHandler:
        """The protocol of a new connection."""
        return Connection(self, loop=self._loop, lingering_time=_LINGER_SECONDS, **self._kwargs)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Takes note of it, and makes room for it where there is none."""
        super().connection_made(handler, transport)
        if len(self._connections) > self._most:
            idle = (one for one in self._connections if one is not handler and one.idle)  # type: ignore[attr-defined]
            oldest = next(idle, None)
            if oldest is not None:
                oldest.force_close()
            else:
                handler.refuse(  # type: ignore[attr-defined]
                    503, f"there are {self._most} connections (--max_connections); try again later"
                )

    @property
    def count(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    def used(self, handler: RequestHandler) -> None:
        """A request has come: of all connections this one is idle the shortest."""
        if transport := self._connections.pop(handler, None):
            self._connections[handler] = transport


class Connection(RequestHandler):
    """A connection of REST."""

    __slots__ = ("_deadline", "_server")

    def __init__(self, server: Server, **options: Any):
        super().__init__(server, **options)
        self._server = server
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether it waits for a request."""
        return self._waiter is not None and not self._waiter.done() and not self._messages

    def data_received(self, data: bytes) -> None:
        """Of the head of a request all has to come in time."""
        before = self._request_count
        super().data_received(data)
        if self._request_count != before:
            self._server.used(self)
            self._stop_clock()
        elif self._deadline is None and self.idle:
            seconds = self._server.header_seconds
            self._deadline = self._loop.call_later(seconds, self._too_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The other end has gone."""
        self._stop_clock()
        super().connection_lost(exc)

    def refuse(self, status: int, message: str) -> None:
        """Answers what is no request, and ends the connection."""
        if self.transport is not None:
            said = rest.error(message, status)
            body = said.body
            assert isinstance(body, bytes)
            head = (
                f"HTTP/1.1 {status} {said.reason}\r\nContent-Type: application/json\r\n"
                f"Server: {said.headers['Server']}\r\nContent-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """{"error": …}, which ends the connection."""
        if isinstance(exc, LineTooLong):
            status = 431
        if status >= 500:
            self.logger.exception("a request failed", exc_info=exc)
        said = (message or "").partition("\n")[0].rstrip(":") or type(exc).__name__
        response = rest.error(f"no HTTP request: {said}" if status < 500 else said, status)
        response.force_close()
        return response

    async def _drain_helper(self) -> None:
        """Ends the connection of a client that does not read; aiohttp waits for it here."""
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                await super()._drain_helper()
        except TimeoutError as error:
            self.force_close()
            raise ConnectionResetError("the client does not read its answer") from error

    def _too_late(self) -> None:
        self._deadline = None
        if self.idle:
            self.refuse(
                408,
                f"no whole head of a request within {self._server.header_seconds:g} s"
                " (--rest_api_header_timeout_in_ms)",
            )

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _request(message, payload, protocol, writer, task) -> web.BaseRequest:
    if message.method == _UNREADABLE and message.version == HttpVersion10:
        message = message._replace(version=HttpVersion11)
    return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())
