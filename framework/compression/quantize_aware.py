"""Quantisation-aware training: some steps more, with the numbers that will be stored.

The loss is computed of rounded tables, and its gradient goes to the numbers that were rounded
(straight through: Bengio et al. 2013, arXiv:1308.3432; Jacob et al. 2018, arXiv:1712.05877). What
the run is evaluated by, and hands on, are the rounded ones; Int8 or Int4 of the same tables and
groups then stores exactly these.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from podway.framework import config, task
from podway.framework.compression import tables
from podway.framework.compression.quantize import check_group
from podway.framework.config.compression import Before
from podway.framework.error import check
from podway.framework.formats import int4, int8, steps


@dataclasses.dataclass(frozen=True)
class QuantizationAware(config.Compression):
    """Trains on with rounded tables."""

    trains: ClassVar[bool] = True

    bits: Literal[4, 8] = 4
    """Of the numbers: 4, to be followed by Int4, or 8, by Int8."""
    group: int | None = None
    """As for Int4; None: one scale for a row."""
    paths: tuple[str, ...] = (tables.EMBEDDING,)
    """Patterns of whole paths of the tables that are rounded; the same are to be stored."""
    dense: bool = False
    """Whether the kernels of layers are rounded too, to 8 bits."""
    steps: int = 500
    """Optimizer steps."""
    learning_rate: float = 0.25
    """Times the optimizer's own learning rate."""

    def __post_init__(self):
        check(self.bits in (4, 8), f"compression.bits is {self.bits}; give 4 or 8")
        check_group(self.group)
        check(
            self.group is None or self.bits == 4,
            f"compression.group is {self.group}, and 8 bits have one scale for a row; give None",
        )
        check(self.steps >= 1, f"compression.steps is {self.steps}; give 1 or more")
        check(
            self.learning_rate > 0,
            f"compression.learning_rate is {self.learning_rate}; give more than 0",
        )

    def after(self, before: Before) -> Before:
        """So many steps, without a parent or a warm start of their own."""
        optimizer, trainer = before.optimizer, before.trainer
        check(
            isinstance(before.model, task.TrainedModel),
            f"QuantizationAware: {type(before.model).__name__} is not trained in steps; store it in"
            " Int8 without",
        )
        rate = getattr(optimizer, "learning_rate", None)
        check(
            rate is not None,
            f"QuantizationAware: the optimizer {type(optimizer).__name__} has no learning_rate",
        )
        assert rate is not None
        changes: dict[str, Any] = {"learning_rate": rate * self.learning_rate}
        warm_up = getattr(optimizer, "warmup_steps", None)
        if warm_up is not None:
            changes["warmup_steps"] = min(warm_up, self.steps // 10)
        every = {
            name: min(getattr(trainer, name), self.steps)
            for name in ("evaluate_every", "checkpoint_every")
        }
        return dataclasses.replace(
            before,
            optimizer=dataclasses.replace(optimizer, **changes),
            trainer=dataclasses.replace(
                trainer, steps=self.steps, parent="", warm_start=config.WarmStart(), **every
            ),
        )

    def trained(self, model: config.Model, dataset: Any, before: Any) -> config.Model:
        """The model itself. Raises ConfigError for sparse tables, whose rows are never whole."""
        sparse = task.of_kind(model, task.ParametricModel).tables(dataset.schema)
        matched = [path for path in sparse for each in self.paths if re.fullmatch(each, path)]
        check(
            not matched,
            f"QuantizationAware: {', '.join(matched)} is kept as a sparse table, whose rows are"
            " not rounded while they are trained; store it in Int8 without",
        )
        return model

    def forward(self, parameters: Mapping[str, Any], progress: Any) -> dict[str, Any]:
        """The rounded tables in the place of those that are trained."""
        paths = tables.chosen(parameters, self.paths, "compression.paths")
        found = dict.fromkeys(paths, self._round)
        if self.dense:
            found |= dict.fromkeys(tables.kernels(parameters), int8.quantize_kernel)
        return {
            path: steps.straight_through(found[path], each) if path in found else each
            for path, each in parameters.items()
        }

    @property
    def _round(self) -> Callable[[Any], Any]:
        if self.bits == 8:
            return int8.quantize
        return functools.partial(int4.quantize, group=self.group)
