"""Users, items, and what whom pleases, before and after taste changes.

Each user likes one genre above all, and its neighbour a little; within a genre items come as a
series, and some are better known than others. When taste changes, everybody's genre becomes
another one, and in each genre new items come out that please most. A model that reads histories
follows the first of the two by itself, and the second only when it is trained again.
"""

import dataclasses
import functools

import numpy as np

from podway.framework.error import check

_HOME, _NEXT = 0.75, 0.15
"""Share of a user's choices in the genre that it likes most, and in the one beside it."""
_SERIES = 0.4
"""How often the item after the last one of the series is chosen."""
_NEW = 0.7
"""Share of the choices within a genre that go to new items, once there are any."""


@dataclasses.dataclass(frozen=True)
class World:
    """A world; all of it follows from its numbers.

    Attributes:
      users: how many there are.
      genres: likewise.
      items: of each genre, from the beginning.
      new: items of each genre that come out when taste changes.
      seed: of who likes what.
    """

    users: int = 400
    genres: int = 8
    items: int = 25
    new: int = 6
    seed: int = 0

    def __post_init__(self):
        check(self.genres >= 4, f"genres is {self.genres}; give 4 or more")
        for name in ("users", "items", "new"):
            value = getattr(self, name)
            check(value >= 1, f"{name} is {value}; give 1 or more")

    def genre(self, user: int, changed: bool) -> int:
        """What the user likes most."""
        first = int(self._homes[user])
        return (first + self.genres // 2) % self.genres if changed else first

    def names(self, genre: int, changed: bool) -> list[str]:
        """Items of a genre: those of the series in their order, then the new ones."""
        old = [f"g{genre}-{number:02}" for number in range(self.items)]
        return old + [f"g{genre}-new{number}" for number in range(self.new) if changed]

    def taste(self, user: int, changed: bool) -> np.ndarray:
        """Share of the user's choices that each genre has: (genres,) f64."""
        home, rest = self.genre(user, changed), 1 - _HOME - _NEXT
        shares = np.full(self.genres, rest / self.genres)
        shares[home] += _HOME
        shares[(home + 1) % self.genres] += _NEXT
        return shares

    def choice(
        self, user: int, last: str, seen: frozenset[str], changed: bool, draw: np.random.Generator
    ) -> str:
        """What the user takes by itself: after `last` perhaps the next of its series, and nothing
        of what it has seen, unless that is all of the genre."""
        genre = int(draw.choice(self.genres, p=self.taste(user, changed)))
        names = self.names(genre, changed)
        if last in names[: self.items - 1] and draw.random() < _SERIES:
            after = names[names.index(last) + 1]
            if after not in seen:
                return after
        shares = self._within(changed).copy()
        left = [number for number, name in enumerate(names) if name not in seen]
        if not left:
            return names[int(draw.choice(len(names), p=shares))]
        shares = shares[left]
        return names[left[int(draw.choice(len(left), p=shares / shares.sum()))]]

    def pleasure(self, user: int, item: str, changed: bool) -> float:
        """Probability that the user takes an item when it is shown, 0 to 1: what is most liked in
        the genre that is most liked is taken four times in five."""
        genre, _, _ = item.removeprefix("g").partition("-")
        if not genre.isdecimal() or int(genre) >= self.genres:
            return 0.0
        names = self.names(int(genre), changed)
        if item not in names:
            return 0.0
        within, taste = self._within(changed), self.taste(user, changed)
        return float(
            0.8
            * (taste[int(genre)] / taste.max())
            * (within[names.index(item)] / within.max()) ** 0.5
        )

    @functools.cached_property
    def _homes(self) -> np.ndarray:
        return np.random.default_rng(self.seed).integers(0, self.genres, self.users)

    def _within(self, changed: bool) -> np.ndarray:
        return _shares(self.items, self.new if changed else 0)


@functools.cache
def _shares(old: int, new: int) -> np.ndarray:
    """Share of a genre's choices that each of its items has: both parts by Zipf's law."""
    known = 1 / np.arange(1, old + 1)
    known /= known.sum()
    if not new:
        return known
    fresh = 1 / np.arange(1, new + 1)
    return np.concatenate([known * (1 - _NEW), fresh / fresh.sum() * _NEW])
