"""What a run tells while it trains: metrics.jsonl, TensorBoard, a progress bar, failed steps."""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
from etils import epath
from tensorboardX import SummaryWriter

from podway.framework import codec, progress
from podway.framework.error import PodwayError
from podway.framework.runs import goodput, records
from podway.framework.runs.goodput import Clock, Ledger

LEDGER_SHARE = 0.01
"""Share of the time that goes into writing goodput.json, beside the writing at each checkpoint."""


class StepFailed(PodwayError, ArithmeticError):
    """A step that training cannot go on from; all processes see it at the same step.

    Attributes:
      step: the step, from 1.
      remedy: what to change.
    """

    def __init__(self, step: int, problem: str, remedy: str):
        super().__init__(problem)
        self.step, self.remedy = step, remedy


DIVERGED = "lower optimizer.learning_rate or trainer.clip_norm"
"""What to change where numbers are not finite any more."""


def check_parameters(step: int, invalid: Mapping[str, Any]) -> None:
    """Raises StepFailed where {path: how many numbers of a parameter are not finite} has some."""
    found = [f"{int(count):,} of {path}" for path, count in sorted(invalid.items()) if int(count)]
    if found:
        more = f" and of {len(found) - 3} other parameters" if len(found) > 3 else ""
        raise StepFailed(
            step,
            f"after step {step} numbers of the parameters are not finite:"
            f" {', '.join(found[:3])}{more}",
            DIVERGED,
        )


def check_validation(step: int, metrics: Mapping[str, float]) -> None:
    """Raises StepFailed where scores or predictions on the validation split are not finite."""
    for name, share in metrics.items():
        if name.rpartition("/")[2].startswith("invalid_") and share:
            raise StepFailed(
                step,
                f"after step {step} {100 * share:.3g} % of the validation split have answers that"
                f" are not finite numbers ({name})",
                DIVERGED,
            )


def check_step(step: int, metrics: Mapping[str, Any]) -> None:
    """Raises StepFailed for a loss that is not finite, and for rows of a table that got lost."""
    if not math.isfinite(metrics["loss"]):
        raise StepFailed(
            step,
            f"the loss of step {step} is {float(metrics['loss'])}",
            DIVERGED,
        )
    if lost := int(metrics.get("embedding/overflow", 0)):
        raise StepFailed(
            step,
            f"in step {step}, {lost} ids of sparse tables had no room in an exchange",
            "raise capacity_margin of the table's embedding",
        )
    if strange := int(metrics.get("embedding/invalid", 0)):
        raise StepFailed(
            step,
            f"in step {step}, {strange} ids lie outside their sparse tables",
            "the dataset's ids are not those of its schema: build it anew",
        )


class Telemetry:
    """Collects the steps' metrics on the device and fetches them every `every` steps.

    A record holds the metrics of its own step, and over the steps since the last flush: the means
    of metrics in percent;
    examples_per_second; input_stall_percent, the share of wall time that the loop waited until its
    next batch lay on the devices; and mfu_percent, the FLOPs of a step's matrix products
    (framework/training/flops.py) over step time × the devices' peak
    (framework/devices/hardware.py). Steps are dispatched ahead of the devices, which may be busy
    while the loop waits: they idle for input at most for input_stall_percent of the time.
    goodput.json is written beside (framework/runs/goodput.py).

    Args:
      directory: of the run; records later than `start` in its metrics.jsonl are dropped. None: in a
        process that writes nothing.
      clock: of this session.
      start: steps that were done before.
      steps: of the whole run.
      batch_size: examples per step.
      every: steps between two records.
      peak: share of the peak that one step per second would be.
    """

    def __init__(
        self,
        directory: epath.Path | None,
        clock: Clock,
        *,
        start: int,
        steps: int,
        batch_size: int,
        every: int,
        peak: float,
    ):
        self._batch_size, self._every, self._peak = batch_size, every, peak
        self._clock, self._step = clock, start
        self._records = self._board = None
        if directory is not None:
            found = records.read(directory / records.METRICS)
            reached = max((record["step"] for record in found), default=start)
            earlier = [record for record in found if record["step"] <= start]
            self._records = Records(directory / records.METRICS, earlier)
            self._board = SummaryWriter(str(directory / "tensorboard"), purge_step=start + 1)
            self._ledger = Ledger.open(directory / goodput.FILE, clock, start, reached)
            counts = {"processes": jax.process_count(), "devices": jax.device_count()}
            self._ledger.history[-1] |= counts
        else:
            self._ledger = Ledger(None, clock)
        self._next_ledger = 0.0
        self._bar = progress.shown(
            "train", unit="step", total=steps, done=start, silent=directory is None
        )
        self._pending: list[tuple[int, Mapping[str, jax.Array]]] = []
        self.restart_clock()

    def restart_clock(self) -> None:
        """Leaves out of the rates what happened since the last flush (evaluation, saving)."""
        self._since, self._waited = time.perf_counter(), self._clock.seconds()["input"]

    def step(self, step: int, metrics: Mapping[str, jax.Array]) -> None:
        """Takes note of a step that was dispatched."""
        self._clock.step = self._step = step
        self._pending.append((step, metrics))
        if step % self._every == 0:
            self.flush()

    def flush(self) -> None:
        """Fetches the pending metrics. Raises StepFailed (see `check_step`)."""
        pending = [(step, jax.device_get(dict(metrics))) for step, metrics in self._pending]
        self._pending = []
        for step, metrics in pending:
            check_step(step, metrics)
        if not pending:
            return
        seconds = time.perf_counter() - self._since
        step, metrics = pending[-1]
        self._bar.set_postfix(loss=f"{metrics['loss']:.4f}")
        self._bar.update(len(pending))
        if step % self._every == 0:
            waited = self._clock.seconds()["input"] - self._waited
            rates = {
                "examples_per_second": len(pending) * self._batch_size / seconds,
                "input_stall_percent": 100 * waited / seconds,
                "mfu_percent": 100 * self._peak * len(pending) / seconds,
            }
            means = {
                name: sum(float(each[name]) for _, each in pending) / len(pending)
                for name in metrics
                if name.endswith("_percent")
            }
            values = {name: float(value) for name, value in metrics.items()}
            self.record(step, values | means | rates)
        if time.monotonic() > self._next_ledger:
            self.write_ledger(step)
        self.restart_clock()

    @contextlib.contextmanager
    def saving(self, step: int) -> Iterator[None]:
        """The time in which the loop stands still for a checkpoint."""
        start = time.perf_counter()
        with self._clock.on("checkpoint"):
            yield
        self.record(step, {"checkpoint_stall_seconds": time.perf_counter() - start})
        self.write_ledger(step, saved=True)
        self.restart_clock()

    def write_ledger(self, step: int, *, saved: bool = False) -> None:
        """Writes goodput.json."""
        start = time.monotonic()
        self._ledger.write(step, saved=saved)
        if self._records is not None:
            self._records.save()
        end = time.monotonic()
        self._next_ledger = end + (end - start) / LEDGER_SHARE

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Writes one record."""
        if self._records is None or self._board is None:
            return
        self._records.add({"step": step, **values})
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Ends the bar and the files; can be called again."""
        self.write_ledger(self._step)
        self._bar.close()
        if self._records is not None and self._board is not None:
            self._board.close()
            self._records.save()


class Records:
    """metrics.jsonl: a line per record, at once where files can grow, else at each `save`.

    Args:
      path: of the file.
      earlier: the records that it starts with.
    """

    def __init__(self, path: epath.Path, earlier: Sequence[Mapping[str, Any]]):
        self._path = path
        self._text = "".join(codec.json_text(record) + "\n" for record in earlier)
        path.write_text(self._text)
        self._grows = "://" not in str(path)

    def add(self, record: Mapping[str, Any]) -> None:
        """One more record."""
        line = codec.json_text(record) + "\n"
        if self._grows:
            with self._path.open("a") as file:
                file.write(line)
        self._text += line

    def save(self) -> None:
        """All is in the file after it. An object of a bucket is written anew."""
        if not self._grows:
            self._path.write_text(self._text)
