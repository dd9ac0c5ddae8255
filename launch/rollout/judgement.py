"""What clients have seen of the two versions of a rollout, and whether the new one is worse.

Each of what is watched is a share of answers (failed, slow, empty, …) with a margin. Its evidence
is an e-value; the mean of all is one, too, so that `rollout.false_return` holds for the whole
rollout, whatever is watched and however often somebody looks.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from podway.framework.config.rollout import Rollout
from podway.launch.rollout import evidence
from podway.launch.rollout.evidence import Block, Evidence
from podway.online.rollout import histogram, observation
from podway.online.rollout.observation import Tally

FILE = "judgement.json"
"""Beside the observations of a rollout."""
_BASELINE = 100
"""Answers of the old version before its quantiles are used."""
_SCORES = (0.1, 0.5, 0.9)
"""Quantiles of the old version's scores that are watched."""

Watched = Mapping[str, tuple[Evidence, ...]]
"""What is watched → its evidence; several are ways in which it may be seen."""


@dataclasses.dataclass(frozen=True)
class Judgement:
    """Of a rollout, so far.

    Attributes:
      watched: the evidence.
      old: all that was seen of the old version.
      new: all that was seen of the new one.
      requests: of the new version at the share where it is now, that are evidence.
      compared: of the old one meanwhile.
      stage: name of that share.
    """

    watched: Watched
    old: Tally
    new: Tally
    requests: int = 0
    compared: int = 0
    stage: str = ""

    @property
    def log(self) -> float:
        """Logarithm of the evidence that the new version is worse in something."""
        return evidence.log_mean([_log(each) for each in self.watched.values()])

    @property
    def worst(self) -> str:
        """What the evidence is strongest in."""
        return max(self.watched, key=lambda name: _log(self.watched[name]))


def begin(plan: Rollout) -> Judgement:
    """Before anything was seen."""
    watched: dict[str, tuple[Evidence, ...]] = {"failed": (Evidence(plan.error_margin),)}
    for name in ("slow", "empty", "value"):
        margin = getattr(plan, f"{name}_margin")
        if margin is not None:
            watched[name] = (Evidence(margin),)
    if plan.score_margin is not None:
        watched["scores"] = (Evidence(plan.score_margin),) * (2 * len(_SCORES))
    return Judgement(watched, Tally(), Tally())


def fold(plan: Rollout, before: Judgement, old: Tally, new: Tally, stage: str) -> Judgement:
    """The judgement with what was seen since. Limits are made of what was known before."""
    watched = {
        name: tuple(
            known if block is None else evidence.fold(known, block)
            for known, block in zip(known, _BLOCKS[name](plan, before.old, old, new), strict=True)
        )
        for name, known in before.watched.items()
    }
    same = stage == before.stage
    return Judgement(
        watched,
        observation.total([before.old, old]),
        observation.total([before.new, new]),
        new.requests + (before.requests if same else 0),
        old.requests + (before.compared if same else 0),
        stage,
    )


def is_worse(plan: Rollout, judgement: Judgement) -> bool:
    """Whether the evidence is enough to go back."""
    return judgement.log >= -math.log(plan.false_return)


def reason(judgement: Judgement) -> str:
    """Why it is worse, in words and numbers."""
    name = judgement.worst
    strongest = max(judgement.watched[name], key=lambda each: each.log)
    seen = strongest.seen
    new, old = _part(seen.second_bad, seen.second), _part(seen.first_bad, seen.first)
    said = {
        "failed": f"{new} of its {seen.second:.0f} requests failed ({_codes(judgement.new)}), and"
        f" {old} of the old version's {seen.first:.0f}",
        "slow": f"{new} of its {seen.second:.0f} answers were slow, and {old} of the old version's"
        f" {seen.first:.0f}",
        "empty": f"{new} of its {seen.second:.0f} answers were empty, and {old} of the old"
        f" version's {seen.first:.0f}",
        "scores": f"its scores differ: {new} of {seen.second:.0f} answers lie where {old} of the"
        f" old version's {seen.first:.0f} do",
        "value": f"its {seen.second:.0f} answers whose value is known were worth"
        f" {_part(seen.second - seen.second_bad, seen.second)} of the most, and the old version's"
        f" {seen.first:.0f} {_part(seen.first - seen.first_bad, seen.first)}",
    }[name]
    return f"{said}; allowed are {strongest.margin:.1%} more"


def progress(judgement: Judgement) -> str:
    """What was seen, in one line."""
    old, new = judgement.old, judgement.new
    said = f"{judgement.requests} requests here; evidence {math.exp(min(judgement.log, 50)):.2g}"
    parts = [
        f"failed {_part(new.failed, new.requests)} (old {_part(old.failed, old.requests)})",
        f"empty {_part(new.empty, new.answered)} (old {_part(old.empty, old.answered)})",
    ]
    if new.latency and old.latency:
        ends = [histogram.quantile(each.latency, 0.95) or 0 for each in (new, old)]
        p95, before = (1000 * histogram.number(each) for each in ends)
        parts.append(f"p95 {p95:.3g} ms (old {before:.3g})")
    if new.values and old.values:
        parts.append(
            f"value {new.worth / new.values:.3g} (old {old.worth / old.values:.3g} of the most)"
        )
    if lost := new.lost + old.lost:
        parts.append(f"{lost} more could not be kept")
    return "; ".join([said, *parts])


def text(judgement: Judgement, offsets: Mapping[str, int]) -> str:
    """As it stands in a file, with how far the observations are in it."""
    content = {
        "watched": {
            name: [dataclasses.asdict(each) for each in known]
            for name, known in judgement.watched.items()
        },
        "old": judgement.old.json(),
        "new": judgement.new.json(),
        "requests": judgement.requests,
        "compared": judgement.compared,
        "stage": judgement.stage,
        "offsets": dict(offsets),
    }
    return json.dumps(content)


def parse(line: str) -> tuple[Judgement, dict[str, int]]:
    """The inverse of `text`. Raises ValueError, KeyError or TypeError: it is none."""
    content: dict[str, Any] = json.loads(line)
    watched = {
        name: tuple(
            Evidence(each["margin"], tuple(each["logs"]), Block(**each["seen"])) for each in known
        )
        for name, known in content["watched"].items()
    }
    found = Judgement(
        watched,
        observation.tally(content["old"]),
        observation.tally(content["new"]),
        content["requests"],
        content["compared"],
        content["stage"],
    )
    return found, content["offsets"]


def _log(known: tuple[Evidence, ...]) -> float:
    return evidence.log_mean([each.log for each in known])


def _part(some: float, of: float) -> str:
    return f"{some / of:.2%}" if of else "–"


def _codes(tally: Tally) -> str:
    return ", ".join(f"{code} {count}" for code, count in tally.failures.most_common(3)) or "none"


def _failed(plan: Rollout, before: Tally, old: Tally, new: Tally) -> Iterator[Block | None]:
    yield Block(old.requests, old.failed, new.requests, new.failed)


def _slow(plan: Rollout, before: Tally, old: Tally, new: Tally) -> Iterator[Block | None]:
    limit = histogram.quantile(before.latency, plan.slow_quantile)
    if limit is None or before.requests < _BASELINE:
        yield None
        return
    slow = [histogram.above(each.latency, limit) for each in (old, new)]
    yield Block(old.requests, slow[0], new.requests, slow[1])


def _empty(plan: Rollout, before: Tally, old: Tally, new: Tally) -> Iterator[Block | None]:
    yield Block(old.answered, old.empty, new.answered, new.empty)


def _value(plan: Rollout, before: Tally, old: Tally, new: Tally) -> Iterator[Block | None]:
    """What is bad is what is missing to the most."""
    yield Block(old.values, old.values - old.worth, new.values, new.values - new.worth)


def _scores(plan: Rollout, before: Tally, old: Tally, new: Tally) -> Iterator[Block | None]:
    """An answer without scores lies below all."""
    known = sum(before.scores.values())
    for share in _SCORES:
        limit = histogram.quantile(before.scores, share)
        if limit is None or known < _BASELINE:
            yield from (None, None)
            continue
        high = [histogram.above(each.scores, limit) for each in (old, new)]
        yield Block(old.answered, high[0], new.answered, high[1])
        yield Block(old.answered, old.answered - high[0], new.answered, new.answered - high[1])


_BLOCKS: Mapping[str, Callable[..., Iterator[Block | None]]] = {
    "failed": _failed,
    "slow": _slow,
    "empty": _empty,
    "value": _value,
    "scores": _scores,
}
