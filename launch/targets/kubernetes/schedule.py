"""When an experiment is trained anew, as a typed config."""

import dataclasses
import re

from podway.framework.error import check

_CRON = re.compile(r"@(yearly|monthly|weekly|daily|hourly)|\S+( \S+){4}")


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When an experiment is trained anew."""

    schedule: str = "0 3 * * *"
    """In cron's five fields, or @daily, @weekly, …"""
    time_zone: str = "Etc/UTC"
    """Of these hours, by its name in the time zone database: Europe/Berlin."""
    deadline_seconds: int = 3600
    """How late a training may begin that could not begin in time; later it is left out."""
    history: int = 3
    """How many ended cycles are kept to be looked at, of those that went well and of others."""

    def __post_init__(self):
        check(
            bool(_CRON.fullmatch(self.schedule)),
            f"schedule.schedule is {self.schedule!r}; give five fields as cron has them, 0 3 * * *,"
            " or @daily",
        )
        check(
            "/" in self.time_zone or self.time_zone == "UTC",
            f"schedule.time_zone is {self.time_zone!r}; give a name of the time zone database, as"
            " Europe/Berlin",
        )
        check(
            self.deadline_seconds >= 60,
            f"schedule.deadline_seconds is {self.deadline_seconds}; give 60 or more: the cluster"
            " looks at its clock only every ten seconds",
        )
        check(self.history >= 0, f"schedule.history is {self.history}; give 0 or more")
