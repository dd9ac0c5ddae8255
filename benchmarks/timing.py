"""Fair timing of programs: they take turns, so that a busy moment hits them all."""

import time
from collections.abc import Callable, Mapping
from typing import Any


def taking_turns(
    programs: Mapping[str, Callable[..., Any]],
    inputs: Callable[[], Mapping[str, tuple[Any, ...]]],
    *,
    rounds: int,
    steps: int = 1,
    warm_up: int = 2,
) -> dict[str, list[float]]:
    """Seconds a step of each program, once for each round.

    Args:
      programs: by name; each returns something that `float` waits for.
      inputs: makes a round's arguments for each, before the clock starts.
      rounds: that count.
      steps: taken in a round before the result is waited for, as a training loop does.
      warm_up: rounds before those that count.
    """
    times: dict[str, list[float]] = {name: [] for name in programs}
    for round_ in range(warm_up + rounds):
        arguments = inputs()
        for name, program in programs.items():
            start = time.perf_counter()
            for _ in range(steps):
                result = program(*arguments[name])
            float(result)
            if round_ >= warm_up:
                times[name].append((time.perf_counter() - start) / steps)
    return times
