"""Steps that make a trained model smaller or faster: an empty base, and what a step replaced."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from podway.framework.config.model import Model, Optimizer
from podway.framework.config.training import Trainer


@dataclasses.dataclass(frozen=True)
class Before:
    """What an experiment had before a step of compression."""

    model: Model
    """The model that is compressed."""
    optimizer: Optimizer
    """How its parameters followed their gradients."""
    trainer: Trainer
    """How it was trained."""


@dataclasses.dataclass(frozen=True)
class Compression:
    """A step from one run to a smaller or faster one (framework/compression/). In an experiment
    stands what it leads to; `before` says where it came from, so that the chain can be made from
    its beginning."""

    subclasses_in: ClassVar[str] = "compression"
    """Where code/classes.py looks for a step by its name."""
    trains: ClassVar[bool] = False
    """Whether it takes optimizer steps, rather than converting the parameters at once."""
    masks: ClassVar[bool] = False
    """Of a step that trains: whether its `forward` leaves zeros that later steps that train keep,
    as long as they go on with its parameters."""
    stores: ClassVar[bool] = False
    """Whether it leaves parameters in formats that cannot be trained further (framework/formats/),
    so that only other such steps may follow."""

    before: Before | None = dataclasses.field(default=None, kw_only=True)
    """What the experiment had before this step, where the step changed it; `compressed` sets it."""

    @property
    def warm(self) -> bool:
        """Of a step that trains: whether it begins with the parameters of the run before it."""
        return True

    def after(self, before: Before) -> Before:
        """What the experiment has after this step. Raises ConfigError where it does not apply."""
        return before

    def convert(self, experiment: Any, dataset: Any, before: Any) -> dict[str, Any]:
        """Of a step that converts: the new parameters by path.

        Args:
          experiment: after this step.
          dataset: the Dataset.
          before: folder of the run before it.
        """
        raise NotImplementedError

    def added(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Of a step that trains: what is trained beside the model's first `parameters`, by paths of
        its own. `forward` is given it, and leaves it out."""
        return {}

    def forward(self, parameters: Mapping[str, Any], progress: Any) -> dict[str, Any]:
        """Of a step that trains: the parameters that the model computes with.

        Of those of progress 1 the run is evaluated by what it hands on.

        Args:
          parameters: by path, in the type that is computed in; sparse tables are left out.
          progress: of the run, from 0 to 1.
        """
        return dict(parameters)

    def handed_on(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Of a step that trains: what the run is evaluated by, and hands on, of what its loss was
        computed with; the rest only its loss knows."""
        return dict(parameters)

    def trained(self, model: Model, dataset: Any, before: Any) -> Model:
        """Of a step that trains: the model whose loss is minimised, a task.TrainedModel with the
        parameters of `model`, and perhaps others, which `handed_on` leaves out. The arguments are
        those of `convert`."""
        return model

    def read(self, model: Model, dataset: Any, before: Any) -> Any:
        """Of a step that trains: the Dataset whose examples are read, the same or one with further
        columns. The arguments are those of `trained`."""
        return dataset
