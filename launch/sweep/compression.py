"""Trials of a compressed experiment: steps with other fields, and what is known of them before."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from podway.framework.compression.quantize import Stored
from podway.framework.config import Compression, Experiment, compressed, previous
from podway.framework.error import ConfigError
from podway.framework.schema.schema import Schema

Steps = tuple[Compression, ...]
KNOWN = ("quality", "latency", "size", "parameters", "cost")
"""What may be known of a trial whose steps leave the parameters' shapes as the model says, or store
them in a format. Memory and compute would be those of several trainings."""


def with_steps(experiment: Experiment, change: Callable[[Steps], Steps]) -> Experiment:
    """The experiment with other steps, taken one after the other from its beginning.

    Raises ConfigError: a step does not apply, or what came after the steps would be lost.
    """
    steps = tuple(dataclasses.replace(each, before=None) for each in experiment.compression)
    first = experiment
    while first.compression:
        first = previous(first)
    if compressed(first, *steps) != experiment:
        raise ConfigError(
            "compression: the model, optimizer or trainer was changed after the steps, which would"
            " be undone: change it before them (config.compressed comes last)"
        )
    return compressed(first, *change(steps))


def unknown(experiment: Experiment) -> str:
    """The name of a step after which only a training tells the parameters; "": there is none."""
    steps = experiment.compression
    odd = [each for each in steps if not isinstance(each, Stored) and not each.trains]
    return type(odd[0]).__name__ if odd else ""


def stored(
    experiment: Experiment, schema: Schema, parameters: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The model's parameters by path in the formats that its steps store them in.

    Raises ConfigError: a format does not fit a table.
    """
    for step in experiment.compression:
        if isinstance(step, Stored):
            parameters = step.stored(experiment.model, schema, parameters)
    return parameters
