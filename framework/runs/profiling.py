"""A profiler trace of some steps, for TensorBoard and XProf."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import jax
from etils import epath

from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Span:
    """Steps, counted from 1, both ends included."""

    first: int
    last: int

    @staticmethod
    def parse(text: str) -> "Span":
        """From "FIRST:LAST". Raises ConfigError."""
        match = re.fullmatch(r"(\d+):(\d+)", text)
        check(
            match is not None and 1 <= int(match[1]) <= int(match[2]),
            f"--profile is {text!r}; give two steps from 1, like 10:13",
        )
        assert match
        return Span(int(match[1]), int(match[2]))


class Profiled:
    """A step that writes a trace of a span of steps.

    Args:
      step: (state, batch) → (state, metrics).
      directory: for the trace; None: this process writes none.
      span: the steps; None: none.
      start: steps that were done before.
      steps: of the whole run.

    Raises:
      ConfigError: the span is not among the steps that are left.
    """

    def __init__(
        self,
        step: Callable[[Any, Any], tuple[Any, Any]],
        directory: epath.Path | None,
        span: Span | None,
        *,
        start: int,
        steps: int,
    ):
        check(
            span is None or start < span.first <= steps,
            f"--profile begins at step {span and span.first}; the steps left are {start + 1} to"
            f" {steps}",
        )
        self._step, self._directory, self._span = step, directory, span
        self._on = False

    def __call__(self, number: int, state: Any, batch: Any) -> tuple[Any, Any]:
        """Step `number`, from 1."""
        if self._span and self._directory and number == self._span.first:
            jax.block_until_ready(state)
            jax.profiler.start_trace(str(self._directory))
            self._on = True
        with jax.profiler.StepTraceAnnotation("train", step_num=number):
            result = self._step(state, batch)
        if self._on and self._span and number == self._span.last:
            jax.block_until_ready(result)
            self.close()
        return result

    def close(self) -> None:
        """Ends a trace under way."""
        if self._on:
            self._on = False
            jax.profiler.stop_trace()
