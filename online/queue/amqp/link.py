"""A connection to RabbitMQ, and the thread that it lives in."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import aio_pika
from aio_pika import exceptions
from aio_pika.abc import AbstractChannel, AbstractConnection

AWAY = (
    exceptions.AMQPConnectionError,
    exceptions.ChannelInvalidStateError,
    ConnectionError,
    OSError,
)
_Result = TypeVar("_Result")


class Loop:
    """An event loop in a thread of its own, for a client that has no other face."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="amqp")
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """The result of a coroutine."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Ends the thread, and what the client left under way."""

        async def end() -> None:
            # The client leaves futures behind that nobody asks for their errors.
            self._loop.set_exception_handler(lambda *_: None)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=5) if left else None

        self.run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Link:
    """A connection that is made again when it is gone."""

    def __init__(self, address: str):
        self._address = address
        self._connection: AbstractConnection | None = None
        self._connecting = asyncio.Lock()

    async def channel(self, **options: Any) -> AbstractChannel:
        """A new channel. Raises AMQPConnectionError, whatever the client says of one that broke."""
        try:
            async with self._connecting:
                if self._connection is None or self._connection.is_closed:
                    self._connection = await aio_pika.connect(self._address, timeout=10)
            return await self._connection.channel(**options)
        except (RuntimeError, asyncio.CancelledError) as error:
            self._connection = None  # it may say of itself that it is open
            raise exceptions.AMQPConnectionError(str(error) or "it was closed") from error

    async def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            await self._connection.close()
