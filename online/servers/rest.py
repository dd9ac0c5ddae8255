"""A model server's REST API."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from podway.online.servers import trace
from podway.online.servers.answer import Answer, ServerError


class Rest:
    """Asks by REST.

    Args:
      session: of aiohttp, which belongs to an event loop.
      url: of the server, http://HOST:PORT.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str):
        self._session, self._url = session, url.rstrip("/")

    async def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        signature: str = "",
        label: str = "",
        version: int | None = None,
        timeout: float = 10.0,
    ) -> Answer:
        """As `Server.predict`. An answer has its version where the request named one."""
        which = f"/labels/{label}" if label else "" if version is None else f"/versions/{version}"
        body: dict[str, Any] = {"inputs": inputs}
        if signature:
            body["signature_name"] = signature
        try:
            async with self._session.post(
                f"{self._url}/v1/models/{model}{which}:predict",
                json=body,
                headers={trace.HEADER: own} if (own := trace.current()) else None,
                timeout=aiohttp.ClientTimeout(timeout),
            ) as response:
                text = await response.text()
        except TimeoutError as error:
            raise ServerError("DEADLINE_EXCEEDED", f"no answer in {timeout:g} s") from error
        except aiohttp.ClientError as error:
            raise ServerError("UNAVAILABLE", str(error) or type(error).__name__) from error
        try:
            content = json.loads(text)
            if response.status != 200:
                raise ServerError(f"HTTP {response.status}", str(content.get("error", text)))
            outputs = content["outputs"]
        except (ValueError, KeyError, AttributeError) as error:
            code = "UNKNOWN" if response.status == 200 else f"HTTP {response.status}"
            raise ServerError(code, f"no answer of a model server: {text[:100]!r}") from error
        if not isinstance(outputs, dict):  # so a signature with one output is answered
            outputs = {"": outputs}
        return Answer(outputs, version)


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Rest]:
    """A server, for the time of a block."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Rest(session, url)
        await asyncio.sleep(0)  # connections that were given back are closed with the session
