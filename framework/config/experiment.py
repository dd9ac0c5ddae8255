"""The whole tree."""

import dataclasses

from podway.framework.config.compression import Compression
from podway.framework.config.data import Component, Data
from podway.framework.config.evaluation import Evaluation
from podway.framework.config.export import Export
from podway.framework.config.fields import later, neutral
from podway.framework.config.gate import Gate
from podway.framework.config.loop import Loop
from podway.framework.config.model import Model, Optimizer
from podway.framework.config.online import Online
from podway.framework.config.rollout import Rollout
from podway.framework.config.tracking import Tracking
from podway.framework.config.training import Mesh, Trainer
from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Experiment:
    """From raw events to an endpoint."""

    name: str
    """Name of the experiment, of its runs and of the served model."""
    data: Data
    """Raw events → dataset."""
    model: Model = Model()
    """What is trained; Model itself stands for none, where only a dataset is wanted."""
    optimizer: Optimizer = Optimizer()
    """How parameters follow their gradients."""
    mixture: tuple[Component, ...] = ()
    """Further datasets to mix into training; evaluation and export are on `data` alone."""
    trainer: Trainer = Trainer()
    """The training loop."""
    compression: tuple[Compression, ...] = later(())
    """Steps that make the trained model smaller or faster, one after the other."""
    mesh: Mesh = neutral(Mesh())
    """How the devices are laid out."""
    evaluation: Evaluation = Evaluation()
    """How the model is evaluated."""
    export: Export = Export()
    """How the model is served."""
    loop: Loop = neutral(Loop())
    """How it is trained again as new data come."""
    gate: Gate = neutral(Gate())
    """What a version must show before it serves."""
    tracking: Tracking = neutral(Tracking())
    """Where it is told of, beside its folders."""
    rollout: Rollout = neutral(Rollout())
    """How a new version of the model comes to its users."""
    online: Online = neutral(Online())
    """What runs while users are there: queue, store, services."""

    def __post_init__(self):
        check(
            self.name.replace("_", "").replace("-", "").isalnum(),
            f"name is {self.name!r}; give letters, digits, '_' and '-'",
        )
        kept = [name for table in self.data.tables if table.of == "item" for name in table.keep]
        for name in self.export.answers:
            check(
                name in kept,
                f"export.answers names {name!r}, and data.tables keep {kept or 'nothing'} of items:"
                " name it in `keep` of the side table of items that has this column",
            )
        for data in (self.data, *(component.data for component in self.mixture)):
            check(
                data.columns.time is not None or not self.model.reads_times(),
                f"the model reads the times of events, but data.columns.time of {data.name!r} is"
                " None; row order gives no clock: name a time column, or set model.time_buckets"
                " to 0",
            )
