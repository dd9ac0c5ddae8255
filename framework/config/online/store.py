"""The online store: which one, and where it is."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Store:
    """Where histories and features of users and items are read while a user waits. Choose one of
    its kinds."""


@dataclasses.dataclass(frozen=True)
class SqliteStore(Store):
    """A file on this machine: no server."""

    path: str = ""
    """The file; "": WORKDIR/online/NAME/store.sqlite."""
