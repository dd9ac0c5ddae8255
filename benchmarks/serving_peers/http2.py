"""gRPC's unary calls in as little HTTP/2 as they take: a client that costs no more than REST's.

gRPC's own client in Python takes more CPU for a call than the server does, and sends the calls of
many at once one by one. That is its cost, not the server's. Here frames are written and read as
they stand in RFC 9113: one call at a time on a connection, headers that are the same bytes each
time, and of an answer only whether it has a message.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import numpy as np

from benchmarks import serving

_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_MOST = (1 << 31) - 1
_FIRST_WINDOW = (1 << 16) - 1
_LARGEST = _FIRST_WINDOW // 2
"""Bytes of a request that may be sent without a look at what the server has room for."""
_FRAME = 1 << 14
"""Most bytes of a frame, unless agreed on otherwise."""
_LENGTH, _STREAM = 3, 5
"""Where a frame's head has them: the length first, the stream's number at the end."""


async def load(
    address: str,
    model: str,
    histories: list[list[bytes]],
    concurrency: int,
    seconds: float,
    begin: serving.Begin = lambda: None,
    rows: int = 1,
) -> tuple[float, np.ndarray]:
    """As serving.rest_load: a connection for each client, each request of so many histories."""
    messages = [
        serving.predict_request(model, *some).SerializeToString()
        for some in serving.together(histories, rows)
    ]
    if (largest := max(map(len, messages))) > _LARGEST:
        raise ValueError(f"a request has {largest} bytes, more than {_LARGEST}: give fewer rows")
    async with contextlib.AsyncExitStack() as stack:
        senders = [
            await stack.enter_async_context(_connected(address, messages))
            for _ in range(concurrency)
        ]
        return await serving.closed_loop(senders, seconds, begin)


@contextlib.asynccontextmanager
async def _connected(address: str, messages: list[bytes]) -> AsyncIterator[serving.Send]:
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    large = (4).to_bytes(2, "big") + _MOST.to_bytes(4, "big")  # the window of each stream
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, large))
    writer.write(_frame(_WINDOW, 0, 0, (_MOST - _FIRST_WINDOW).to_bytes(4, "big")))
    head = _headers("/tensorflow.serving.PredictionService/Predict", address)
    stream = -1

    async def send(number: int) -> None:
        nonlocal stream
        stream += 2
        body = b"\0" + len(messages[number]).to_bytes(4, "big") + messages[number]
        parts = [body[at : at + _FRAME] for at in range(0, len(body), _FRAME)]
        frames = [_frame(_HEADERS, _END_HEADERS, stream, head)]
        frames += [_frame(_DATA, 0, stream, part) for part in parts[:-1]]
        frames.append(_frame(_DATA, _END_STREAM, stream, parts[-1]))
        writer.write(b"".join(frames))
        await _answer(reader, writer, stream)

    try:
        yield send
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stream: int) -> None:
    """Reads until the stream ends. Raises RuntimeError where there is no message."""
    size = 0
    while True:
        head = await reader.readexactly(9)
        length = int.from_bytes(head[:_LENGTH], "big")
        kind, flags = head[_LENGTH], head[_LENGTH + 1]
        payload = await reader.readexactly(length) if length else b""
        if kind == _DATA:
            size += length
        elif kind == _PING and not flags & _ACK:
            writer.write(_frame(_PING, _ACK, 0, payload))
        elif kind == _SETTINGS and not flags & _ACK:
            writer.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind in (_RESET, _GOAWAY):
            raise RuntimeError(f"the call ended: {payload!r}")
        ended = kind in (_DATA, _HEADERS) and flags & _END_STREAM
        if ended and int.from_bytes(head[_STREAM:], "big") == stream:
            if not size:
                raise RuntimeError(f"the call failed: {payload!r}")
            return


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return (
        len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload
    )


def _headers(path: str, authority: str) -> bytes:
    """HPACK of a request's headers, all of them written out."""
    named = ((4, path), (1, authority), (31, "application/grpc"))  # RFC 7541, appendix A
    block = b"\x83\x86"  # :method POST, :scheme http
    for index, value in named:
        block += (bytes((index,)) if index < 15 else bytes((15, index - 15))) + _text(value)
    return block + b"\0" + _text("te") + _text("trailers")


def _text(value: str) -> bytes:
    assert len(value) < 127
    return bytes((len(value),)) + value.encode()
