"""What answers of a loaded recommender: JAX from a run, TensorFlow from a published model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from podway.launch.loaded.error import require
from podway.launch.loaded.histories import Histories, Items, text_of


@dataclasses.dataclass(frozen=True)
class Filter:
    """Which items may be recommended.

    Attributes:
      allow: ids of the items to choose from; empty: all.
      deny: ids of the items to leave out.
    """

    allow: Sequence[Any] = ()
    deny: Sequence[Any] = ()

    def __post_init__(self):
        for name in ("allow", "deny"):
            given = getattr(self, name)
            require(
                not isinstance(given, str | bytes),
                f"filter.{name} is {given!r}; give a list of ids",
            )
            object.__setattr__(self, name, tuple(text_of(each, f"filter.{name}") for each in given))

    def unknown(self, items: Items) -> list[str]:
        """The items that the model lacks. Raises RequestError where it lacks all of `allow`."""
        missing = [each for each in (*self.allow, *self.deny) if each not in items.ids]
        require(
            not self.allow or not set(self.allow) <= set(missing),
            f"none of the {len(self.allow)} items of filter.allow is known to the model, for"
            f" example {self.allow[:1]}",
        )
        return missing


NO_FILTER = Filter()


class Answer(NamedTuple):
    """The best items of each history, best first.

    Attributes:
      ids: int32 [histories, k]; PADDING where too few were left.
      scores: f32 [histories, k].
      attributes: of these items, by name, object [histories, k], where the engine has them.
    """

    ids: np.ndarray
    scores: np.ndarray
    attributes: dict[str, np.ndarray]


class Engine(Protocol):
    """A recommender that can be asked."""

    @property
    def items(self) -> Items:
        """Its items."""
        ...

    @property
    def timed(self) -> bool:
        """Whether it reads the times of the histories' events."""
        ...

    def check(self, k: int, *, filtered: bool) -> None:
        """Raises RequestError where it cannot answer with k items, or not filtered."""
        ...

    def recommend(self, histories: Histories, k: int, filters: Sequence[Filter]) -> Answer:
        """The k best items of each history; `filters` has one for each, or none."""
        ...


def allowed(filters: Sequence[Filter], items: Items) -> np.ndarray:
    """Which ids the filters let through, bool [filters, ids]."""
    masks: dict[int, np.ndarray] = {}  # mostly all have the same
    for each in filters:
        if id(each) not in masks:
            mask = masks[id(each)] = np.full(len(items.values), not each.allow)
            mask[[items.ids[item] for item in each.allow if item in items.ids]] = True
            mask[[items.ids[item] for item in each.deny if item in items.ids]] = False
    return np.stack([masks[id(each)] for each in filters])
