"""Who may ask: anybody, who has a token, or whom a reverse proxy names; and how often.

Tokens are kept as hashes: who reads the file cannot ask. A token is long and random (32 bytes, say
`openssl rand -hex 32`), so that a plain SHA-256 of it cannot be searched for.
"""

import collections
import hashlib
import hmac
import logging
import os
import pathlib
import re
import time
from collections.abc import Callable, Mapping

from podway.framework.config.online import Access
from podway.online.error import OnlineError

_LOG = logging.getLogger(__name__)
VARIABLE = "PODWAY_GATEWAY_TOKENS"
_CLIENTS = 100_000
"""Clients whose rate is known; the one that was not seen for longest is forgotten first."""
_LOOK = 2.0
"""Seconds between two looks at the file."""
_LINE = re.compile(r"(\S+)\s+([0-9a-fA-F]{64})")
_SHORTEST = 16


class Refused(Exception):
    """Who asks may not.

    Attributes:
      status: of HTTP: 401 or 429.
      code: of gRPC: UNAUTHENTICATED or RESOURCE_EXHAUSTED.
      wait: seconds after which it is worth another try; 0: none.
    """

    def __init__(self, message: str, status: int, code: str, wait: float = 0.0):
        super().__init__(message)
        self.status, self.code, self.wait = status, code, wait


def parse(text: str, where: str) -> Mapping[bytes, str]:
    """Hash → client, of lines NAME SHA256; empty lines and those with # are left out. Raises
    OnlineError that names the line, and does not repeat it."""
    found: dict[bytes, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise OnlineError(
                f"{where}, line {number} is no NAME SHA256; write the client's name and the 64"
                " hexadecimal digits of its token's hash, as `printf %s TOKEN | sha256sum` gives"
            )
        found[bytes.fromhex(match[2])] = match[1]
    if not found:
        raise OnlineError(f"{where} has no client; write a line NAME SHA256 for each")
    return found


class Door:
    """Lets requests in; belongs to one event loop.

    Args:
      access: how.
      share: of the rate that is this process's.
      clock: seconds of a clock that never goes back.

    Raises:
      OnlineError: the tokens cannot be read.
    """

    def __init__(
        self, access: Access, share: float = 1.0, clock: Callable[[], float] = time.monotonic
    ):
        self._access, self._clock = access, clock
        self._rate = access.rate * share
        self._most = max(1.0, access.rate * share * access.burst)
        self._buckets: collections.OrderedDict[str, tuple[float, float]] = collections.OrderedDict()
        self._file = pathlib.Path(access.tokens) if access.tokens else None
        self._stamp: tuple[int, int] | None = None
        self._looked = clock()
        self._tokens: Mapping[bytes, str] = {}
        if access.kind == "token":
            self._read()

    def let_in(self, header: Callable[[str], str | None], address: str) -> str:
        """The client's name, or its address. Raises Refused.

        Args:
          header: gives a header of the request by its name, in lower case.
          address: of who is connected.
        """
        access = self._access
        client = ""
        if access.kind == "token":
            client = self._named(header("authorization") or "")
        elif access.kind == "proxy":
            client = header(access.header.lower()) or ""
            if not client:
                raise Refused(
                    f"the header {access.header} is missing: requests come by the proxy alone",
                    401,
                    "UNAUTHENTICATED",
                )
        client = client or address
        if self._rate:
            self._count(client)
        return client

    def _named(self, given: str) -> str:
        kind, _, token = given.partition(" ")
        if kind.lower() != "bearer" or len(token.strip()) < _SHORTEST:
            raise Refused(
                "a token is missing; send the header Authorization: Bearer TOKEN",
                401,
                "UNAUTHENTICATED",
            )
        self._look()
        digest = hashlib.sha256(token.strip().encode()).digest()
        name = ""
        for known, client in self._tokens.items():  # all of them, whatever the answer
            if hmac.compare_digest(known, digest):
                name = client
        if not name:
            raise Refused("the token is not known here", 401, "UNAUTHENTICATED")
        return name

    def _count(self, client: str) -> None:
        """A bucket of tokens that fills at the rate."""
        now = self._clock()
        left, then = self._buckets.get(client, (self._most, now))
        left = min(self._most, left + (now - then) * self._rate)
        allowed = left >= 1
        self._buckets[client] = (left - 1 if allowed else left, now)
        self._buckets.move_to_end(client)
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        if not allowed:
            raise Refused(
                f"more than {self._access.rate:g} requests a second of one client",
                429,
                "RESOURCE_EXHAUSTED",
                wait=(1 - left) / self._rate,
            )

    def _look(self) -> None:
        now = self._clock()
        if self._file is None or now - self._looked < _LOOK:
            return
        self._looked = now
        try:
            self._read()
        except OnlineError as error:
            _LOG.error("%s; the tokens stay as they were", error)

    def _read(self) -> None:
        if self._file is None:
            text = os.environ.get(VARIABLE, "").replace(";", "\n")
            if not text.strip():
                raise OnlineError(
                    "access.kind is token, but there are none: name a file with lines NAME SHA256"
                    f" in access.tokens, or put these lines into the variable {VARIABLE}"
                )
            self._tokens = parse(text, VARIABLE)
            return
        try:
            state = self._file.stat()
            stamp = (state.st_mtime_ns, state.st_size)
            if stamp == self._stamp:
                return
            text = self._file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise OnlineError(f"access.tokens: {self._file} cannot be read ({error})") from error
        self._tokens, self._stamp = parse(text, str(self._file)), stamp
