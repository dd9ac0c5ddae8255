"""The rules of the business: which of the model's candidates a user may be shown, and in what
order."""

import dataclasses

from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Where:
    """An attribute that an item must have to be shown."""

    field: str
    """Name of the attribute, as the store has it."""
    values: tuple[str, ...]
    """Any of these will do."""

    def __post_init__(self):
        check(bool(self.field), "where.field is empty; give the name of an attribute of items")
        check(bool(self.values), f"where.values of {self.field} is empty; give at least one value")


@dataclasses.dataclass(frozen=True)
class Rules:
    """What is left out, what is lifted, and how much of one kind a list may hold."""

    seen: bool = True
    """Leave out what is in the user's history, and in the items of the session."""
    shown_most: int = 0
    """Leave out what the user was shown so often of late (`nearline.shown`); 0: any number."""
    allow: tuple[str, ...] = ()
    """Only these items; empty: all. Beside it the store's list `allow`, where there is one."""
    deny: tuple[str, ...] = ()
    """Never these items. Beside it the store's list `deny`."""
    where: tuple[Where, ...] = ()
    """Only items that have all of these attributes; one that nothing is known of has none."""
    category: str = ""
    """The attribute by which a list is varied; "": none."""
    per_category: int = 0
    """Most items of one category in a list; 0: any number. Items without a category count as one
    each."""
    fresh: str = ""
    """The attribute that says when an item came, in seconds since 1970; "": none."""
    fresh_days: float = 7.0
    """Items are fresh for so many days; their lift is halved each third of that."""
    fresh_boost: float = 0.0
    """How far an item of this moment is lifted: 1 is the distance between the best and the worst
    score of the candidates."""
    fresh_most: int = 0
    """Most fresh items in a list; 0: any number."""
    new_slots: int = 0
    """Places, from the end of the list, for items of the store's list `new`, which no model knows
    yet; which ones depends on the user and the day."""

    def __post_init__(self):
        for name in ("shown_most", "per_category", "fresh_boost", "fresh_most", "new_slots"):
            value = getattr(self, name)
            check(0 <= value < float("inf"), f"rules.{name} is {value}; give 0 or more")
        check(
            0 < self.fresh_days < float("inf"),
            f"rules.fresh_days is {self.fresh_days}; give a number of days above 0",
        )
        check(
            not self.per_category or bool(self.category),
            "rules.per_category needs rules.category, the attribute that it counts",
        )
        for name in ("fresh_boost", "fresh_most"):
            check(
                not getattr(self, name) or bool(self.fresh),
                f"rules.{name} needs rules.fresh, the attribute that says when an item came",
            )
