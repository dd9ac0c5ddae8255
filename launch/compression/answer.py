"""One answer of the function that is exported: its operations, and its time on a chip to come."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from etils import epath

from podway.framework.config import Experiment
from podway.framework.devices import topology
from podway.framework.devices.topology import Topology
from podway.framework.input.dataset import Dataset
from podway.framework.preflight import hlo, roofline, work
from podway.framework.preflight.report import peaks
from podway.framework.runs import run
from podway.framework.training import flops
from podway.launch.sweep import answer as sweep


@dataclasses.dataclass(frozen=True)
class Answer:
    """The function that answers, and the shapes of what it is given.

    Attributes:
      function: (parameters, *columns) → what is answered.
      parameters: path → shape, in the formats that they are stored in.
      columns: of a request of one row, as long as it may be: [1, ...].
    """

    function: Callable[..., Any]
    parameters: Mapping[str, jax.ShapeDtypeStruct]
    columns: Sequence[jax.ShapeDtypeStruct]


@dataclasses.dataclass(frozen=True)
class OnChip:
    """An answer as one chip would give it, by its compiled program; nothing has run.

    Attributes:
      bytes: to and from the chip's memory.
      flops: of its products.
      microseconds: each instruction at the chip's peaks: no answer takes less.
      bound: what takes longest, "compute" or "memory".
    """

    bytes: float
    flops: float
    microseconds: float
    bound: str


def of(experiment: Experiment, dataset: Dataset, directory: epath.Path) -> Answer:
    """The answer of a run's model."""
    _, _, parameters = run.load(directory, experiment)
    shapes = {
        path: jax.ShapeDtypeStruct(array.shape, array.dtype) for path, array in parameters.items()
    }
    function, columns = sweep.exported(experiment, dataset, 1)
    columns = [jax.ShapeDtypeStruct(each.shape, each.dtype) for each in columns]
    return Answer(function, shapes, columns)


def operations(answer: Answer) -> float:
    """FLOPs of the matrix products for one row."""
    traced = jax.make_jaxpr(answer.function)(answer.parameters, *answer.columns)
    return flops.count(traced.jaxpr)


def on_chip(answer: Answer, pod: Topology, rows: int) -> OnChip:
    """A request of so many rows on one chip, which need not be there.

    Raises TopologyError where nothing compiles for it here.
    """
    place = jax.sharding.SingleDeviceSharding(topology.devices(pod)[0])

    def placed(each: jax.ShapeDtypeStruct, *shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape or each.shape, each.dtype, sharding=place)

    parameters = {path: placed(each) for path, each in answer.parameters.items()}
    columns = [placed(each, rows, *each.shape[1:]) for each in answer.columns]
    compiled = jax.jit(answer.function).lower(parameters, *columns).compile()
    module = hlo.parse(compiled.as_text() or "")
    times = roofline.predict(module, (), pod, [(0,)], peaks(pod))
    pieces = list(work.pieces(module))
    return OnChip(
        bytes=sum(piece.bytes for piece in pieces),
        flops=sum(piece.flops for piece in pieces),
        microseconds=1e6 * times.chip,
        bound=times.bound,
    )
