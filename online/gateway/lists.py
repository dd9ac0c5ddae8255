"""Lists that the store keeps for all users, in memory: what is popular, new, allowed, denied.

They are read in the background, again and again. What was read last stays as long as the store
does not answer: what stands in for everything else must not need anything itself.
"""

import asyncio
import dataclasses
import json
import logging
import math
from collections.abc import Collection, Mapping, Sequence

from podway.framework.config.online import Gateway
from podway.online.error import StoreError
from podway.online.gateway.answer import Candidate, Reason
from podway.online.gateway.known import Known
from podway.online.gateway.reader import Reader
from podway.online.store.store import STATE, Store

_LOG = logging.getLogger(__name__)
POPULAR, NEW, ALLOW, DENY, SEGMENTS = "popular", "new", "allow", "deny", "segments"
_MOST = 1000
"""Segments that are kept; items of a list."""
_PATIENCE = 5.0
"""Seconds that a read may take: nobody waits for it."""

Ranking = tuple[tuple[str, float], ...]
Candidates = tuple[Candidate, ...]


@dataclasses.dataclass(frozen=True)
class Lists:
    """As last read."""

    popular: Candidates = ()
    segments: Mapping[str, Candidates] = dataclasses.field(default_factory=dict)
    new: tuple[str, ...] = ()
    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()

    def segment(self, name: str) -> Candidates:
        """What is popular there; (): nobody knows."""
        return self.segments.get(name, ()) if name else ()


def key(name: str, segment: str = "") -> str:
    """Of a list in the store, of the kind `state`."""
    return f"list/{name}/{segment}" if segment else f"list/{name}"


def pack(ranking: Sequence[tuple[str, float]] | Sequence[str]) -> bytes:
    """A list as the store has it: [[item, score], …] or [item, …], best first."""
    return json.dumps(ranking, ensure_ascii=False, separators=(",", ":")).encode()


def unpack(content: bytes) -> Ranking:
    """Items with their scores, best first; scores that are no numbers are left out. Raises
    ValueError: it is no list."""
    found: list[tuple[str, float]] = []
    rows = json.loads(content)
    if not isinstance(rows, list):
        raise ValueError(f"it is {type(rows).__name__}, and no list")
    for row in rows[:_MOST]:
        item, score = row if isinstance(row, list) else (row, 0.0)
        if isinstance(item, str) and item and math.isfinite(float(score)):
            found.append((item, float(score)))
    return tuple(found)


def write(store: Store, lists: Mapping[str, Sequence[tuple[str, float]] | Sequence[str]]) -> None:
    """Writes lists by name: what is popular in a segment as popular/SEGMENT."""
    values = {f"list/{name}": pack(ranking) for name, ranking in lists.items()}
    segments = [n.removeprefix(f"{POPULAR}/") for n in lists if n.startswith(f"{POPULAR}/")]
    if segments:
        values[key(SEGMENTS)] = pack(segments)
    store.write(STATE, values)


def _candidates(ranking: Ranking, reason: Reason) -> Candidates:
    return tuple((item, score, reason) for item, score in ranking)


class Following:
    """Keeps lists up to date; belongs to one event loop.

    Args:
      reader: of the store.
      known: gets the attributes of the lists' items, which rules may need when the store is gone.
      gateway: how often.

    Attributes:
      now: the lists.
      missing: why they could not be read last; "": they were.
    """

    def __init__(self, reader: Reader, known: Known, gateway: Gateway):
        self._reader, self._known, self._gateway = reader, known, gateway
        self._wanted: dict[str, None] = {}
        self.now = Lists()
        self.missing = "not read yet"

    def want(self, segment: str) -> None:
        """Somebody of this segment came."""
        if segment and segment not in self._wanted and len(self._wanted) < _MOST:
            self._wanted[segment] = None

    async def look(self) -> None:
        """Reads them once; what cannot be read stays as it was."""
        names = [POPULAR, NEW, ALLOW, DENY, SEGMENTS]
        wanted = list(self._wanted)
        keys = [*map(key, names), *(key(POPULAR, each) for each in wanted)]
        try:
            values = await self._reader.read(STATE, keys, _PATIENCE)
            rankings = [unpack(value.content) if value else () for value in values]
            for name, _ in rankings[4]:
                self.want(name)
            if more := [each for each in self._wanted if each not in wanted]:
                found = await self._reader.read(STATE, [key(POPULAR, e) for e in more], _PATIENCE)
                wanted += more
                rankings += [unpack(value.content) if value else () for value in found]
        except (StoreError, ValueError, TypeError) as error:
            if self.missing != str(error):
                _LOG.error(
                    "the lists of the store cannot be read: %s; they stay as they were", error
                )
            self.missing = str(error)
            return
        popular, new, allow, deny = ([item for item, _ in each] for each in rankings[:4])
        segments = {
            name: _candidates(ranking, "segment")
            for name, ranking in zip(wanted, rankings[5:], strict=True)
        }
        await self._load(
            {*popular, *new, *(item for each in segments.values() for item, _, _ in each)}
        )
        best = _candidates(rankings[0], "popular")
        self.now = Lists(best, segments, tuple(new), frozenset(allow), frozenset(deny))
        self.missing = ""

    async def _load(self, items: Collection[str]) -> None:
        await self._known.load([*items, *self._gateway.always], _PATIENCE)

    async def follow(self) -> None:
        """Looks again and again, for ever."""
        while True:
            await asyncio.sleep(self._gateway.lists_seconds)
            await self.look()
