"""The lander: events of the queue → files that training reads."""

import dataclasses

from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Lander:
    """Where raw events are landed, when a shard is written, and which events are taken in."""

    path: str = ""
    """Folder of the shards, local or on gs://; "": WORKDIR/online/NAME/landed."""
    group: str = "lander"
    """The consumers' group. Landers of one group share the work."""
    seconds: float = 60.0
    """Shards are written when their first event is so old. Shorter: fresher data, smaller files."""
    rows: int = 100_000
    """Shards are written when so many events wait. Twice as many are held in memory at most."""
    megabytes: float = 64.0
    """Shards are written when the events that wait have so many megabytes, as they were sent."""
    late_seconds: float = 3600.0
    """An event that is so much older than its message is counted as late. It goes to the hour that
    it is of all the same."""
    ahead_seconds: float = 300.0
    """By how much an event may be later than its message, since clocks differ. Others are dead."""
    oldest_days: float = 30.0
    """An event that is so much older than its message is dead: no folder is made for it."""

    def __post_init__(self):
        check("://" not in self.path or self.path.startswith("gs://"),
              f"lander.path is {self.path!r}; give a local folder or one on gs://")  # fmt: skip
        check(bool(self.group), "lander.group is empty; give the group of consumers a name")
        for name in ("seconds", "rows", "megabytes", "late_seconds", "oldest_days"):
            value = getattr(self, name)
            check(value > 0, f"lander.{name} is {value}; give more than 0")
        check(
            self.ahead_seconds >= 0,
            f"lander.ahead_seconds is {self.ahead_seconds}; give 0 or more",
        )
        check(
            self.late_seconds <= self.oldest_days * 86_400,
            f"lander.late_seconds is {self.late_seconds}, more than the {self.oldest_days} days of"
            " lander.oldest_days; give less",
        )
