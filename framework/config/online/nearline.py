"""The nearline service: events of the queue → histories, counters and features in the store."""

import dataclasses

from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Weight:
    """What an event of a type counts for its item's popularity."""

    event: str
    """Type of event; one of nearline.types."""
    weight: float = 1.0
    """Above 0."""

    def __post_init__(self):
        check(
            0 < self.weight < float("inf"),
            f"nearline.weights: {self.event} has {self.weight}; give a number above 0",
        )


@dataclasses.dataclass(frozen=True)
class Nearline:
    """Which events become histories, and what is counted of them."""

    group: str = "nearline"
    """The consumers' group. Services of one group share the work."""
    types: tuple[str, ...] = ("click", "play", "rating")
    """Types of events that go into a user's history: those that the dataset is made of."""
    history: int = 200
    """Latest events of a user that are kept: at least export.max_history, what a model is given."""
    history_days: float = 365.0
    """A history without a further event is kept so long; 0: for ever."""
    shown: int = 100
    """Latest items that a user was shown that are kept."""
    shown_hours: float = 48.0
    """For how long."""
    session_minutes: float = 30.0
    """Without an event for so long, the next one begins a session."""
    weights: tuple[Weight, ...] = ()
    """What the types count for popularity; (): each of `types` counts 1."""
    half_life_hours: float = 24.0
    """An event counts half as much so much later."""
    popular: int = 500
    """Most popular items that are kept, of all users and of each segment."""
    segment: str = "segment"
    """Field of events that says which segment their user is of; "": there are none."""
    segments: int = 100
    """Segments that are counted; events of further ones count for all users only."""
    slots: int = 4
    """Values that the counts are spread over, by user, so that several services write beside each
    other. Once there are counts it stays as it is."""
    lists_seconds: float = 5.0
    """The lists of what is popular are written so often, when there was something."""
    batch: int = 1000
    """Messages that are taken in at once at most."""
    ahead_seconds: float = 300.0
    """By how much an event may be later than its message, since clocks differ. Others are left
    out: they would end each history for ever."""

    def __post_init__(self):
        check(bool(self.group), "nearline.group is empty; give the group of consumers a name")
        check(bool(self.types), "nearline.types is empty; name the types of a history's events")
        for name in ("history", "shown", "popular", "slots", "batch"):
            value = getattr(self, name)
            check(value >= 1, f"nearline.{name} is {value}; give 1 or more")
        for name in ("shown_hours", "session_minutes", "half_life_hours", "lists_seconds"):
            value = getattr(self, name)
            check(0 < value < float("inf"), f"nearline.{name} is {value}; give a number above 0")
        for name in ("history_days", "segments", "ahead_seconds"):
            value = getattr(self, name)
            check(0 <= value < float("inf"), f"nearline.{name} is {value}; give 0 or more")
        for each in self.weights:
            check(
                each.event in self.types,
                f"nearline.weights counts {each.event!r}, and nearline.types are {self.types}; an"
                " event is counted once since its history has it: name the type in both",
            )
