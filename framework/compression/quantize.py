"""Quantisation after training: parameters in formats of fewer bytes (framework/formats/)."""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import jax
import numpy as np
from etils import epath

from podway.framework import config
from podway.framework.compression import calibration, tables
from podway.framework.config.fields import later
from podway.framework.error import check
from podway.framework.formats import float8, int4, int8, matrix, w8a8
from podway.framework.input.batches import Dataset
from podway.framework.runs import run
from podway.framework.schema.schema import Schema


@dataclasses.dataclass(frozen=True)
class Stored:
    """What Int8, Int4 and Float8 have in common: tables are stored in another format."""

    stores: ClassVar[bool] = True

    paths: tuple[str, ...] = ()
    """Patterns of whole paths of the tables to store so; (): the embeddings, and what the model
    reads as it reads them."""
    dense: bool = False
    """Whether the kernels of layers are stored too, in int8 with a scale for each output."""

    def convert(
        self, experiment: config.Experiment, dataset: Dataset, before: epath.Path
    ) -> dict[str, np.ndarray]:
        """See config.Compression."""
        _, _, parameters = run.load(before)
        return jax.device_get(self.stored(experiment.model, dataset.schema, parameters))

    def stored(
        self,
        model: config.Model,
        schema: Schema,
        parameters: Mapping[str, Any],
        reach: Mapping[str, Any] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """The parameters by path, those that are chosen in the format. Raises ConfigError.

        Args:
          model: whose they are.
          schema: the dataset's.
          parameters: by path.
          reach: of kernels whose layers shall compute with integers, how large their inputs are
            (see calibration.reach).
        """
        paths = (
            tables.chosen(parameters, self.paths, "compression.paths")
            if self.paths
            else tables.usual(model, schema, parameters)
        )
        made = {path: self.quantize(parameters[path]) for path in paths}
        if self.dense:
            found = tables.kernels(parameters)
            made |= {path: int8.quantize_kernel(parameters[path]) for path in found}
        made |= {path: w8a8.quantize(parameters[path], reach[path]) for path in reach}
        check(
            bool(made),
            f"{type(self).__name__}: the model has no table that is not in a format already; name"
            " one by compression.paths, or give dense=True",
        )
        return matrix.spread({**parameters, **made})

    @property
    def quantize(self) -> Callable[[Any], matrix.Matrix]:
        """A table in the format."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Int8(Stored, config.Compression):
    """Tables as rows of 8-bit integers with a scale each."""

    activations: bool = later(False)
    """Whether dense layers round their inputs to int8, too, and multiply integers: with one scale
    for a layer's inputs, found on the train split. All kernels are stored then, as by `dense`."""
    batches: int = later(16)
    """Train batches that activations are calibrated on."""
    percentile: float = later(100.0)
    """How many of a hundred inputs of a layer its scale reaches, by their magnitude; those beyond
    are rounded to its end. 100: all that calibration saw."""

    def __post_init__(self):
        for name, default in (("batches", 16), ("percentile", 100.0)):
            value = getattr(self, name)
            check(
                self.activations or value == default,
                f"compression.{name} is {value}, and is read for activations alone: give"
                " activations=True, too",
            )
        check(self.batches >= 1, f"compression.batches is {self.batches}; give 1 or more")
        check(
            0 < self.percentile <= 100,
            f"compression.percentile is {self.percentile}; give more than 0, to 100",
        )

    def convert(
        self, experiment: config.Experiment, dataset: Dataset, before: epath.Path
    ) -> dict[str, np.ndarray]:
        """See config.Compression."""
        if not self.activations:
            return super().convert(experiment, dataset, before)
        _, _, parameters = run.load(before)
        reach = calibration.reach(
            experiment, dataset, parameters, batches=self.batches, percentile=self.percentile
        )
        whole = dataclasses.replace(self, dense=True)
        return jax.device_get(whole.stored(experiment.model, dataset.schema, parameters, reach))

    def stored(
        self,
        model: config.Model,
        schema: Schema,
        parameters: Mapping[str, Any],
        reach: Mapping[str, Any] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """See Stored. Raises ConfigError for activations that were not calibrated."""
        check(
            bool(reach) or not self.activations,
            "compression.activations is set, and nothing was calibrated: convert a run",
        )
        return super().stored(model, schema, parameters, reach)

    @property
    def quantize(self) -> Callable[[Any], matrix.Matrix]:
        """A table in the format."""
        return int8.quantize


@dataclasses.dataclass(frozen=True)
class Int4(Stored, config.Compression):
    """Tables as rows of 4-bit integers, two in a byte. Best behind a QuantizationAware."""

    group: int | None = None
    """Values of a row that share a scale; they divide the width. None: the whole row."""

    def __post_init__(self):
        check_group(self.group)

    @property
    def quantize(self) -> Callable[[Any], matrix.Matrix]:
        """A table in the format."""
        return lambda table: int4.quantize(table, self.group)


@dataclasses.dataclass(frozen=True)
class Float8(Stored, config.Compression):
    """Tables as rows of 8-bit floats (E4M3) with a scale each."""

    @property
    def quantize(self) -> Callable[[Any], matrix.Matrix]:
        """A table in the format."""
        return float8.quantize


def check_group(group: int | None) -> None:
    """Raises ConfigError for a group of no values."""
    check(
        group is None or group >= 1,
        f"compression.group is {group}; give 1 or more, or None for a whole row",
    )
