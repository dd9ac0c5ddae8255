"""A sweep: what is tried of an experiment, what counts, and which of the trials wins.

Pure Python, beside the Experiment rather than in it: an experiment is what one trial is.
"""

from podway.framework.config.sweep.space import Choice, Dimension, Float, Int, Value
from podway.framework.config.sweep.sweep import (
    Asha,
    Limit,
    Pruner,
    Quantity,
    Sweep,
    Winner,
)

__all__ = [
    "Asha",
    "Choice",
    "Dimension",
    "Float",
    "Int",
    "Limit",
    "Pruner",
    "Quantity",
    "Sweep",
    "Value",
    "Winner",
]
