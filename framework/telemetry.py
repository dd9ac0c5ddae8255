"""What a run tells while it trains: metrics.jsonl, TensorBoard, a progress bar, and NaN."""

import json
import math
import time
from collections.abc import Mapping
from typing import Any

import jax
from etils import epath
from tensorboardX import SummaryWriter
from tqdm import tqdm


class NotFinite(ArithmeticError):
    """The loss of a step was NaN or infinite.

    Attributes:
      step: the step that was taken with it, from 1.
      loss: its value.
    """

    def __init__(self, step: int, loss: float):
        super().__init__(f"the loss of step {step} is {loss}")
        self.step, self.loss = step, loss


class Telemetry:
    """Collects the steps' metrics on the device and fetches them every `every` steps.

    A record holds the metrics of its own step, and over the steps since the last flush:
    examples_per_second; input_stall_percent, the share of wall time that the loop waited until its
    next batch lay on the devices; and mfu_percent, the FLOPs of a step's matrix products
    (framework/flops.py) over step time × the devices' peak (framework/hardware.py). Steps are
    dispatched ahead of the devices, which may be busy while the loop waits: they idle for input at
    most for input_stall_percent of the time.

    Args:
      directory: of the run; records later than `start` in its metrics.jsonl are dropped.
      start: steps that were done before.
      steps: of the whole run.
      batch_size: examples per step.
      every: steps between two records.
      peak: share of the peak that one step per second would be.
    """

    def __init__(
        self,
        directory: epath.Path,
        *,
        start: int,
        steps: int,
        batch_size: int,
        every: int,
        peak: float,
    ):
        self._path = directory / "metrics.jsonl"
        self._batch_size, self._every, self._peak = batch_size, every, peak
        earlier = [record for record in read(self._path) if record["step"] <= start]
        self._path.write_text("".join(json.dumps(record) + "\n" for record in earlier))
        self._file = self._path.open("a")
        self._board = SummaryWriter(str(directory / "tensorboard"), purge_step=start + 1)
        self._bar = tqdm(total=steps, initial=start, desc="train", unit="step")
        self._pending: list[tuple[int, Mapping[str, jax.Array]]] = []
        self.restart_clock()

    def restart_clock(self) -> None:
        """Leaves out of the rates what happened since the last flush (evaluation, saving)."""
        self._since, self._waited = time.perf_counter(), 0.0

    def step(self, step: int, metrics: Mapping[str, jax.Array], waited: float) -> None:
        """Takes note of a step; `waited` is how long (s) the loop waited for its batch."""
        self._pending.append((step, metrics))
        self._waited += waited
        if step % self._every == 0:
            self.flush()

    def flush(self) -> None:
        """Fetches the pending metrics. Raises NotFinite for the first loss that is not finite."""
        pending = [(step, jax.device_get(dict(metrics))) for step, metrics in self._pending]
        self._pending = []
        for step, metrics in pending:
            if not math.isfinite(metrics["loss"]):
                raise NotFinite(step, float(metrics["loss"]))
        if not pending:
            return
        seconds = time.perf_counter() - self._since
        step, metrics = pending[-1]
        self._bar.update(len(pending))
        self._bar.set_postfix(loss=f"{metrics['loss']:.4f}")
        if step % self._every == 0:
            rates = {
                "examples_per_second": len(pending) * self._batch_size / seconds,
                "input_stall_percent": 100 * self._waited / seconds,
                "mfu_percent": 100 * self._peak * len(pending) / seconds,
            }
            self.record(step, {name: float(value) for name, value in metrics.items()} | rates)
        self.restart_clock()

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Writes one record."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Ends the bar and the files."""
        self._bar.close()
        self._board.close()
        self._file.close()


def read(path: epath.PathLike) -> list[dict[str, Any]]:
    """The records of a metrics.jsonl; a last line that was cut off by a crash is left out."""
    path = epath.Path(path)
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]
