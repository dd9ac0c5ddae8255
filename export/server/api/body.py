"""The body of a REST request: read and decompressed within the limits.

What is too long is refused by its Content-Length, before it comes; what is compressed, once it has
become too much, in a thread that others need not wait for.
"""

import contextlib
import zlib
from collections.abc import Iterator

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from podway.export.server.api import aside
from podway.export.server.api.aside import Check
from podway.export.server.error import (
    INVALID_ARGUMENT,
    RESOURCE_EXHAUSTED,
    UNIMPLEMENTED,
    RequestError,
    too_large,
)
from podway.export.server.limits import SMALL, Limits

ENCODINGS = "gzip, deflate"
"""Of a Content-Encoding."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_FREE = 1 << 20
"""Bytes that a body may become, however short it is."""
_SLICE = 64 << 10
_MEMBERS = 100
"""Files that a gzip may be made of: it would take long to open each."""


class Pending:
    """The bytes of large bodies that are in memory now."""

    def __init__(self, most: int):
        self._most, self._held = most, 0

    def take(self, size: int) -> None:
        """Takes so many more. Raises RequestError where there is no room."""
        if self._held + size > self._most:
            raise RequestError(
                RESOURCE_EXHAUSTED,
                f"large requests hold {self._most} bytes (--max_pending_bytes); try again later",
            )
        self._held += size

    def give_back(self, size: int) -> None:
        """What has been taken."""
        self._held -= size


class Body:
    """Reads the body of a request; what it holds of `pending` is given back by `close`."""

    def __init__(self, request: web.BaseRequest, limits: Limits, pending: Pending):
        self._request, self._limits, self._pending = request, limits, pending
        self._taken = 0

    async def read(self) -> bytes:
        """All of it, decompressed. Raises RequestError."""
        request, limits = self._request, self._limits
        encoding = _encoding(request)
        limits.check_bytes(request.content_length or 0)
        _go_on(request)
        body = bytearray()
        try:
            while chunk := await request.content.readany():
                body += chunk
                limits.check_bytes(len(body))
                if len(body) - self._taken > SMALL:
                    self._take(len(body) - self._taken)
        except (RequestPayloadError, HttpProcessingError) as error:
            cause = error.__cause__ or error
            said = getattr(cause, "message", "") or str(cause)
            raise RequestError(INVALID_ARGUMENT, f"the body cannot be read: {said}") from error
        if not encoding:
            return bytes(body)
        most = min(limits.request_bytes, max(_FREE, limits.ratio * len(body)))
        self._take(min(most, _FREE))
        decoded = await aside.run(
            lambda check: _decompress(bytes(body), encoding, most, limits, check)
        )
        self._take(max(0, len(decoded) - self._taken))
        return decoded

    def close(self) -> None:
        """The body is not needed any more."""
        self._pending.give_back(self._taken)
        self._taken = 0

    def _take(self, size: int) -> None:
        self._pending.take(size)
        self._taken += size


@contextlib.contextmanager
def of(request: web.BaseRequest, limits: Limits, pending: Pending) -> Iterator[Body]:
    """The body of a request, while it is needed."""
    body = Body(request, limits, pending)
    try:
        yield body
    finally:
        body.close()


def _encoding(request: web.BaseRequest) -> str:
    """The Content-Encoding, or "". Raises RequestError."""
    said = ",".join(request.headers.getall("Content-Encoding", ())).strip().lower()
    encoding = {"identity": "", "x-gzip": "gzip"}.get(said, said)
    if encoding not in ("", "gzip", "deflate"):
        raise RequestError(
            UNIMPLEMENTED, f"Content-Encoding {said!r}: give gzip, deflate or none", 415
        )
    return encoding


def _go_on(request: web.BaseRequest) -> None:
    """Answers Expect: 100-continue, for which the client waits. Raises RequestError."""
    said = request.headers.get("Expect", "")
    if not said or request.version < (1, 1):
        return
    if said.strip().lower() != "100-continue":
        raise RequestError(INVALID_ARGUMENT, f"Expect {said!r}: give 100-continue or none", 417)
    if request.transport is not None and not request.content.is_eof():
        request.transport.write(_CONTINUE)


def _decompress(body: bytes, encoding: str, most: int, limits: Limits, check: Check) -> bytes:
    """Raises RequestError."""
    raw = encoding == "deflate" and bool(body) and body[0] & 15 != 8  # without zlib's header
    bits = 31 if encoding == "gzip" else -15 if raw else 15
    decoder, members = zlib.decompressobj(bits), 1
    decoded = bytearray()
    try:
        for start in range(0, len(body), _SLICE):
            rest = body[start : start + _SLICE]
            while rest:
                check()
                if decoder.eof:
                    members += 1
                    if encoding != "gzip" or members > _MEMBERS:
                        raise _undecodable(encoding, "there is more behind its end")
                    decoder = zlib.decompressobj(bits)
                decoded += decoder.decompress(rest, _FREE)
                if len(decoded) > most:
                    raise _too_much(most, limits)
                rest = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
        while not decoder.eof and (piece := decoder.decompress(b"", _FREE)):
            check()
            decoded += piece
            if len(decoded) > most:
                raise _too_much(most, limits)
    except zlib.error as error:
        raise _undecodable(encoding, str(error)) from error
    if not decoder.eof:
        raise _undecodable(encoding, "its end is missing")
    return bytes(decoded)


def _too_much(most: int, limits: Limits) -> RequestError:
    if most == limits.request_bytes:
        return too_large(
            f"the body becomes more than {most} bytes (--max_request_bytes); send several"
            " smaller ones"
        )
    return too_large(
        f"the body becomes more than {limits.ratio} times as long (--max_request_ratio), {most}"
        " bytes; send it less compressed, or as it is"
    )


def _undecodable(encoding: str, why: str) -> RequestError:
    return RequestError(INVALID_ARGUMENT, f"the body is not {encoding}: {why}")
