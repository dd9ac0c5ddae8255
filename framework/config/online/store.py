"""The online store: which one, and where it is."""

import dataclasses

from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Store:
    """Where histories and features of users and items are read while a user waits. Choose one of
    its kinds."""


@dataclasses.dataclass(frozen=True)
class SqliteStore(Store):
    """A file on this machine: no server."""

    path: str = ""
    """The file; "": WORKDIR/online/NAME/store.sqlite."""
    timeout: float = 5.0
    """Seconds that a writer waits for another one at most."""

    def __post_init__(self):
        check_timeout(self.timeout)


def check_timeout(value: float) -> None:
    """Raises ConfigError for a timeout that is none."""
    check(
        0 < value < float("inf"),
        f"online.store.timeout is {value}; give a number of seconds above 0",
    )
