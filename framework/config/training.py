"""The training loop, and where it runs."""

import dataclasses
import math
import re
from typing import Literal

from podway.framework.config.fields import later, neutral
from podway.framework.error import ConfigError, check


@dataclasses.dataclass(frozen=True)
class Mesh:
    """How the devices are laid out. Never changes the result, only where it is computed."""

    data: int = neutral(-1)
    """Devices along which the batch is split; −1: all that the other axes leave."""
    fsdp: int = neutral(1)
    """Devices along which parameters and optimizer state are split, as well as the batch."""
    tensor: int = neutral(1)
    """Devices along which single layers are split: heads, feed-forward units, table rows."""
    slice: int = neutral(-1)
    """Slices, which a slower network joins, along which the batch is split; −1: as many as the
    devices say."""

    def __post_init__(self):
        for field in ("data", "slice"):
            value = getattr(self, field)
            check(value == -1 or value >= 1, f"mesh.{field} is {value}; give −1, 1 or more")
        for field in ("fsdp", "tensor"):
            value = getattr(self, field)
            check(value >= 1, f"mesh.{field} is {value}; give 1 or more")


@dataclasses.dataclass(frozen=True)
class WarmStart:
    """Where the first parameters come from, instead of random ones."""

    run: str = ""
    """Folder of a run, runs/NAME/RUN; its selected checkpoint is read. Empty: start at random."""
    step: int | None = None
    """Another checkpoint of that run."""
    rename: tuple[tuple[str, str], ...] = ()
    """Pairs of a pattern of whole paths in that run and what they are called here; the first that
    matches counts, and \\1 is its first group."""
    missing: Literal["error", "initialize"] = "error"
    """What becomes of parameters that the run lacks, or has in another shape."""
    extra: Literal["error", "ignore"] = "error"
    """What becomes of parameters of the run that this model lacks."""


@dataclasses.dataclass(frozen=True)
class Trainer:
    """The training loop."""

    steps: int = 1000
    """Optimizer steps."""
    batch_size: int = 128
    """Examples in one global batch, over all devices."""
    accumulate: int = 1
    """Parts into which a batch is cut, one computed after the other: less memory for activations,
    and the gradient of the whole batch all the same."""
    precision: Literal["f32", "bf16"] = "f32"
    """Type of activations and of the parameters' copy in the forward pass; the parameters
    themselves, the loss and the optimizer stay in f32."""
    remat: Literal["none", "products", "blocks"] = neutral("none")
    """What the backward pass finds in memory: all that it needs; the results of matrix products;
    or just the blocks' outputs, from which it computes the rest anew."""
    attention: Literal["auto", "xla", "cudnn"] = neutral("auto")
    """What computes softmax attention in training: XLA's products, or cuDNN's kernel, which keeps
    no scores in memory and needs an NVIDIA GPU and bf16; auto: cuDNN where it can, else XLA. What
    is evaluated and served is always XLA's."""
    clip_norm: float | None = 1.0
    """Largest global norm of a gradient, rows of embedding tables included; None: no limit."""
    ema: float | None = None
    """Decay of a moving average of the parameters, which is then what is evaluated and exported;
    rows of sparse tables are left out. None: none."""
    freeze: tuple[str, ...] = ()
    """Patterns of whole parameter paths that are not trained ("item/embedding", "blocks/0/.*")."""
    warm_start: WarmStart = WarmStart()
    """Where the first parameters come from, instead of random ones."""
    parent: str = later("")
    """A finished run of this name in the same workdir, by its version, that this one goes on from:
    parameters, optimizer state and input position are its last. `--more` sets it, and steps."""
    crop: Literal["latest", "random"] = "latest"
    """What a training example takes of a history longer than the model reads: the latest items, or
    a stretch that is drawn anew each epoch."""
    share: float = later(1.0)
    """Share of the train split's rows that are read, of each block the same; the rows of a smaller
    share are among those of a larger one. For scaling laws."""
    pack: bool = False
    """Whether a row of a batch holds as many whole histories as find room, rather than one and
    padding; none sees another. batch_size counts rows. Not every model can."""
    shuffle_window_blocks: int = 16
    """Blocks in one shuffle window: rows are shuffled within it, blocks across the epoch."""
    readers: int = neutral(1)
    """Threads that read and prepare batches; the order of examples does not depend on it."""
    evaluate_every: int = 100
    """Steps between two evaluations on the validation split; the best one is exported."""
    patience: int | None = later(None)
    """Evaluations in a row without a better validation metric after which the run ends early; None:
    it does not."""
    min_delta: float = later(0.0)
    """By how much more than this a metric must be better to count as better for patience."""
    checkpoint_every: int = neutral(100)
    """Steps between two checkpoints."""
    keep_checkpoints: int = neutral(2)
    """Latest checkpoints to keep, beside the best ones."""
    keep_best: int = neutral(1)
    """Best checkpoints to keep, by the validation metric."""
    keep_every: int | None = neutral(None)
    """Keep each checkpoint whose step is a multiple of this, too."""
    log_every: int = neutral(10)
    """Steps between two records of metrics."""
    gradient_statistics: bool = neutral(False)
    """Record too, by group of parameters, the norms of gradients and what a step changes, and how
    many of the steps were clipped."""
    seed: int = 0
    """Seed of initialisation, dropout and the order of examples."""

    def __post_init__(self):
        for field in (
            "steps",
            "batch_size",
            "accumulate",
            "shuffle_window_blocks",
            "readers",
            "evaluate_every",
            "checkpoint_every",
            "keep_checkpoints",
            "keep_best",
            "log_every",
        ):
            value = getattr(self, field)
            check(value >= 1, f"trainer.{field} is {value}; give 1 or more")
        check(
            self.batch_size % self.accumulate == 0,
            f"trainer.accumulate = {self.accumulate} does not divide trainer.batch_size ="
            f" {self.batch_size}",
        )
        check(
            0 < self.share <= 1,
            f"trainer.share is {self.share}; give more than 0, up to 1",
        )
        check(
            self.share == 1 or not self.pack,
            "trainer.share is below 1, and trainer.pack joins rows: give one of both",
        )
        check(
            self.keep_every is None or self.keep_every >= 1,
            f"trainer.keep_every is {self.keep_every}; give 1 or more, or None",
        )
        check(
            self.patience is None or self.patience >= 1,
            f"trainer.patience is {self.patience}; give 1 or more, or None",
        )
        check(
            0 <= self.min_delta < math.inf,
            f"trainer.min_delta is {self.min_delta}; give 0 or more",
        )
        check(
            "/" not in self.parent and self.parent not in (".", ".."),
            f"trainer.parent is {self.parent!r}; give the version of a run, the last part of its"
            " folder runs/NAME/RUN",
        )
        check(
            self.clip_norm is None or self.clip_norm > 0,
            f"trainer.clip_norm is {self.clip_norm}; give more than 0, or None",
        )
        check(
            self.ema is None or 0 < self.ema < 1,
            f"trainer.ema is {self.ema}; give a decay between 0 and 1, or None",
        )
        for pattern in (*self.freeze, *(old for old, _ in self.warm_start.rename)):
            _check_pattern(pattern)


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"trainer: {pattern!r} is not a regular expression: {error}") from error
