"""Made-up measurements: what two versions do for the same users."""

import numpy as np

from podway.framework.metrics import ranking
from podway.launch.gate.measured import Measured, Values


def measured(values: dict, *, champion: bool = True, **others) -> Measured:
    """All that a gate knows, where nothing else is said."""
    given = {"selection": "ndcg@10", "examples": 400, "invalid": 0.0}
    return Measured(**(given | {"champion": champion, "values": values} | others))


def versions(
    generator: np.random.Generator, users: int, better: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of the users' targets, [users], by two trainings of one model, the second `better`.

    A user is easy or hard for both, and what each makes of it has luck in it: few targets are in
    the first ten, and nearly the same ones.
    """
    ease = generator.normal(0, 1.5, users)
    scores = [ease + generator.normal(0, 0.7, users) + ahead for ahead in (0.0, better)]
    first, second = (np.ceil(np.exp(4.0 - score)).astype(np.int64) for score in scores)
    return first, second


def ranked(first: np.ndarray, second: np.ndarray, metrics: list[str]) -> dict:
    """The metrics of a champion and a candidate with these ranks."""
    found = {}
    for name in metrics:
        kind, k = name.split("@")
        both = (ranking.PER_USER[kind](ranks, int(k)) for ranks in (second, first))
        found[name, ""] = Values(*both, shares=True)
    return found
