"""Early stopping: when evaluations show no progress any more."""

import math
from collections.abc import Iterable, Mapping

from etils import epath

from podway.framework import config
from podway.framework.evaluation.evaluators import evaluator_of
from podway.framework.runs import checkpoint, records, run


def without_progress(
    values: Iterable[float | None], min_delta: float, *, largest_is_best: bool
) -> int:
    """How many evaluations ago a metric was last better than before, by more than `min_delta`.

    What is no finite number is never better; the first that is one is.
    """
    best, count = math.nan, 0
    for value in values:
        value = math.nan if value is None else value if largest_is_best else -value
        better = math.isfinite(value) and (math.isnan(best) or value - best > min_delta)
        best, count = (value, 0) if better else (best, count + 1)
    return count


class Patience:
    """What a run's evaluations have shown, those of earlier sessions included.

    Args:
      experiment: says how long to wait; without trainer.patience, for ever.
      history: {step: the metrics there}, of earlier evaluations.
    """

    def __init__(
        self, experiment: config.Experiment, history: Mapping[int, Mapping[str, float | None]]
    ):
        evaluator = evaluator_of(experiment.model, experiment.evaluation)
        self._metric, self._largest_is_best = evaluator.metric, evaluator.largest_is_best
        self._options = experiment.trainer
        self._values = {step: history[step].get(self._metric) for step in sorted(history)}

    def take(self, step: int, metrics: Mapping[str, float]) -> None:
        """Takes note of an evaluation."""
        self._values[step] = metrics.get(self._metric)

    def ended(self) -> str:
        """Why the run ends now; "": it goes on."""
        options = self._options
        count = without_progress(
            self._values.values(), options.min_delta, largest_is_best=self._largest_is_best
        )
        step = max(self._values, default=0)
        if options.patience is None or count < options.patience or step == options.steps:
            return ""
        by = f" by more than {options.min_delta:g}" if options.min_delta else ""
        return (
            f"stopped early at step {step} of {options.steps}: {self._metric} has not become better"
            f"{by} in {count} evaluations"
        )


def history(
    directory: epath.Path, checkpoints: checkpoint.Checkpoints, first: int, last: int
) -> dict[int, dict[str, float | None]]:
    """{step: metrics} of the evaluations of a run from step `first` to `last`.

    From what was recorded and what was saved with the checkpoints: the one has all, the other what
    was saved an instant before a crash.
    """
    found: dict[int, dict[str, float | None]] = {}
    for record in records.read(directory / "metrics.jsonl"):
        named = {
            name.removeprefix(_VALIDATION): value
            for name, value in record.items()
            if name.startswith(_VALIDATION)
        }
        if named:
            found[record["step"]] = named
    for step in run.steps(directory):
        if metrics := checkpoints.metrics(step):
            found[step] = {**metrics}
    return {step: found[step] for step in sorted(found) if first <= step <= last}


_VALIDATION = "validation/"
"""Begins the names of the metrics in the records."""
