"""The Experiment: one tree of frozen dataclasses that describes the whole chain.

Pure Python: importing this file loads neither JAX nor Beam nor TensorFlow. A field's docstring is
its help text on the command line. Parts that can be swapped (format, split, model, optimizer) are
annotated with an empty base class; the dataclass that stands in the tree is the choice.
"""

from podway.framework.config.compressed import compressed, finished, forward, previous
from podway.framework.config.compression import Before, Compression
from podway.framework.config.data import (
    Columns,
    Component,
    Data,
    Examples,
    RowExamples,
    Sequences,
    SideTable,
)
from podway.framework.config.evaluation import Evaluation
from podway.framework.config.experiment import Experiment
from podway.framework.config.export import Card, Export
from podway.framework.config.formats import (
    Characters,
    Csv,
    Format,
    Idx,
    JsonLines,
    Lists,
    Parquet,
    Rdatasets,
)
from podway.framework.config.gate import (
    Better,
    DataCheck,
    Gate,
    Latency,
    NotWorse,
    Rule,
    Size,
    Within,
)
from podway.framework.config.limits import Limits
from podway.framework.config.loop import Loop
from podway.framework.config.model import Model, Optimizer
from podway.framework.config.rollout import Rollout
from podway.framework.config.split import GlobalTime, LeaveOneOut, RandomSplit, Split
from podway.framework.config.tracking import Mlflow, Tracking
from podway.framework.config.training import Mesh, Trainer, WarmStart
from podway.framework.config.where import (
    Above,
    AllOf,
    AnyOf,
    AtLeast,
    AtMost,
    Below,
    Between,
    Condition,
    Missing,
    NoneOf,
    NotMissing,
    OneOf,
)

__all__ = [
    "Above",
    "AllOf",
    "AnyOf",
    "AtLeast",
    "AtMost",
    "Before",
    "Below",
    "Better",
    "Between",
    "Card",
    "Characters",
    "Columns",
    "Component",
    "Compression",
    "Condition",
    "Csv",
    "Data",
    "DataCheck",
    "Evaluation",
    "Examples",
    "Experiment",
    "Export",
    "Format",
    "Gate",
    "GlobalTime",
    "Idx",
    "JsonLines",
    "Latency",
    "LeaveOneOut",
    "Limits",
    "Lists",
    "Loop",
    "Mesh",
    "Missing",
    "Mlflow",
    "Model",
    "NoneOf",
    "NotMissing",
    "NotWorse",
    "OneOf",
    "Optimizer",
    "Parquet",
    "RandomSplit",
    "Rdatasets",
    "Rollout",
    "RowExamples",
    "Rule",
    "Sequences",
    "SideTable",
    "Size",
    "Split",
    "Tracking",
    "Trainer",
    "WarmStart",
    "Within",
    "compressed",
    "finished",
    "forward",
    "previous",
]
