"""The report of a trial: each arm beside the control, and what speaks against it."""

import dataclasses
import datetime
import math
from typing import Any

from podway.framework.config.online import Trial
from podway.online.error import OnlineError
from podway.online.experiments.report import estimate
from podway.online.experiments.report.estimate import MISMATCH, Estimate
from podway.online.experiments.report.events import Seen
from podway.online.experiments.report.users import Users


@dataclasses.dataclass(frozen=True)
class Row:
    """An arm.

    Attributes:
      arm: its name.
      users: who saw it, and no other.
      mean: outcome of a user.
      beside: the control; None: it is that.
      p: raised for the number of arms.
    """

    arm: str
    users: int
    mean: float
    beside: Estimate | None
    p: float


@dataclasses.dataclass(frozen=True)
class Report:
    """Of one trial.

    Attributes:
      trial: its name.
      outcome: what was counted, in words.
      level: of the intervals.
      rows: of the arms, the control first.
      mismatch: p-value of the users' division.
      crossed: users who saw several arms, and are left out.
      others: arms that were seen and are not the config's → users.
      begun: the first exposure, UTC.
      events: that were read.
      repeated: that were there twice, and count once.
    """

    trial: str
    outcome: str
    level: float
    rows: tuple[Row, ...]
    mismatch: float
    crossed: int
    others: dict[str, int]
    begun: str
    events: int
    repeated: int

    @property
    def is_valid(self) -> bool:
        """Whether users were divided as they should be."""
        return not self.mismatch < MISMATCH

    def json(self) -> dict[str, Any]:
        """As plain values; what is no number is null."""
        return _plain(dataclasses.asdict(self)) | {"valid": self.is_valid}


def report(trial: Trial, found: Users, seen: Seen, outcome: str, level: float = 0.95) -> Report:
    """The report. Raises OnlineError: nobody has seen the trial."""
    names = [arm.name for arm in trial.arms]
    if not len(found.arm):
        raise OnlineError(
            f"no user has seen an arm of the trial {trial.name} ({', '.join(names)}) in"
            f" {seen.events} events; are they those of the time when it ran?"
        )
    counts = [int((found.arm == at).sum()) for at in range(len(names))]
    compared = estimate.estimates(found.arm, found.after, found.before, len(names), level)
    raised = estimate.together([each.p for each in compared])
    rows = []
    for at, name in enumerate(names):
        mine = found.after[found.arm == at]
        rows.append(
            Row(
                name,
                counts[at],
                float(mine.mean()) if len(mine) else math.nan,
                compared[at - 1] if at else None,
                raised[at - 1] if at else math.nan,
            )
        )
    weights = [arm.weight for arm in trial.arms]
    begun = datetime.datetime.fromtimestamp(found.begun, datetime.UTC)
    return Report(
        trial.name,
        outcome,
        level,
        tuple(rows),
        estimate.mismatch(counts, weights),
        found.crossed,
        found.others,
        begun.isoformat(timespec="seconds"),
        seen.events,
        seen.repeated,
    )


def text(of: Report) -> str:
    """As a terminal shows it."""
    level = f"{of.level:.0%}"
    head = ["arm", "users", "mean", "difference", f"{level} interval", "relative", "p"]
    lines = [head]
    for row in of.rows:
        line = [row.arm, f"{row.users:,}", f"{row.mean:.4g}"]
        if (found := row.beside) is None:
            line += ["(control)", "", "", ""]
        elif not math.isfinite(found.difference):
            line += ["too few users", "", "", ""]
        else:
            line += [
                f"{found.difference:+.4g}",
                f"{found.low:+.4g} to {found.high:+.4g}",
                f"{found.relative:+.2%}" if math.isfinite(found.relative) else "–",
                f"{row.p:.2g}",
            ]
        lines.append(line)
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    table = [
        "  ".join(
            cell.ljust(width) if not at else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([f"{of.trial}: {of.outcome}, since {of.begun}", "", *table, "", *_remarks(of)])


def _remarks(of: Report) -> list[str]:
    found = []
    kept = next((row.beside.variance_kept for row in of.rows if row.beside), 1.0)
    if kept < 1:
        found.append(
            f"CUPED: what users did before took away {1 - kept:.0%} of the variance; means are"
            " those without it."
        )
    else:
        found.append("No events from before the trial: without CUPED.")
    if of.crossed:
        found.append(f"{of.crossed:,} users saw more than one arm, and are left out.")
    for name, users in of.others.items():
        found.append(f"{users:,} users saw the arm {name}, which the config does not have.")
    if of.repeated:
        found.append(f"{of.repeated:,} events were there twice, and count once.")
    if not of.is_valid:
        found.append(
            f"SAMPLE RATIO MISMATCH: the users are not divided by the arms' weights (p ="
            f" {of.mismatch:.1g}). Something loses users of an arm, or their events: no difference"
            " above means anything until it is found."
        )
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
