"""Some users' lists, as an evaluation keeps them (artefacts.SAMPLES), for a page."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from podway.framework.report import artefacts


@dataclasses.dataclass(frozen=True)
class Entry:
    """An item in a history or a list.

    Attributes:
      name: its title, or else its id.
      id: where the name is a title, its id.
      hit: whether it is what came next.
    """

    name: str
    id: str = ""
    hit: bool = False


@dataclasses.dataclass(frozen=True)
class Sample:
    """A user.

    Attributes:
      user: its id.
      earlier: events of the history before those that are shown.
      history: the latest events, in their order.
      target: what came next.
      place: where that is in the list, in words.
      list: what the model recommends, the best first.
    """

    user: str
    earlier: int
    history: Sequence[Entry]
    target: Entry
    place: str
    list: Sequence[Entry]


def read(evaluation: epath.Path) -> list[Sample]:
    """The samples of an evaluation; [] where it has none, or they cannot be read."""
    found = artefacts.mapping(evaluation / artefacts.SAMPLES)
    try:
        return [_sample(each) for each in found.get("users", [])]
    except (KeyError, TypeError, AttributeError):
        return []


def _sample(given: Mapping[str, Any]) -> Sample:
    target, rank = given["target"], given["rank"]
    listed = [_entry(item, target) for item in given["list"]]
    history = given["history"]
    if any(entry.hit for entry in listed):
        place = f"place {rank:,}"
    else:
        place = f"place {rank:,}, not in the list" if rank else "in no list"
    return Sample(
        user=str(given["user"]),
        earlier=given["events"] - len(history),
        history=[_entry(item) for item in history],
        target=_entry(target),
        place=place,
        list=listed,
    )


def _entry(item: Mapping[str, Any], target: Mapping[str, Any] | None = None) -> Entry:
    hit = target is not None and item["item"] == target["item"]
    title = item.get("title")
    return Entry(title, item["item"], hit) if title else Entry(item["item"], "", hit)
