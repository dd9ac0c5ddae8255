"""What is trained, and how its parameters follow their gradients: empty bases of both."""

import dataclasses
from typing import Any, ClassVar

Axes = str | tuple[str, ...] | None
"""The mesh axes along which one dimension is split."""

ShardingRules = tuple[tuple[str, tuple[Axes, ...] | None], ...]
"""Pattern of the whole path of a parameter → mesh axes of each of its dimensions; None where each
device holds all of it, whatever its dimensions. The first match counts."""


@dataclasses.dataclass(frozen=True)
class Model:
    """What is trained or fitted. What it computes, framework/task.py's bases say, from which all
    models derive that have parameters; one file each in framework/models/."""

    subclasses_in: ClassVar[str] = "models"
    """Where code/classes.py looks for a model by its name."""

    sharding_rules: ClassVar[ShardingRules] = ()
    """Where this model's parameters lie, tried before the general rules
    (framework/devices/sharding.py). What neither names is whole on each device."""

    def reads_times(self) -> bool:
        """Whether it reads the times of the history's events too, while it trains and serves."""
        return False

    def beside(self) -> dict[str, "Model"]:
        """Models of the same parameters, by name, that the evaluation measures beside this one."""
        return {}


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """How parameters follow their gradients (framework/training/optimizer.py)."""

    subclasses_in: ClassVar[str] = "training.optimizer"
    """Where code/classes.py looks for an optimizer by its name."""

    def build(self, steps: int) -> Any:
        """The optax transformation for a run of `steps`."""
        raise NotImplementedError

    def decay(self, step: Any, steps: int) -> Any:
        """The learning rate of a step, as a fraction of its peak in a run of `steps`."""
        raise NotImplementedError
