"""An experiment, compiled ahead of time for a mesh.

The module is built once under `jax.eval_shape` and merged with the parameters inside the trace; the
state is plain data.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

from podway.framework import config, task
from podway.framework.devices import mesh
from podway.framework.embedding.plan import TablePlan
from podway.framework.error import check
from podway.framework.input.batches import batch_shapes
from podway.framework.input.placement import Placement
from podway.framework.schema.schema import Schema
from podway.framework.training import flops, warm_start
from podway.framework.training.state import (
    State,
    inference_parameters,
    initializer,
    invalid,
    placed,
)
from podway.framework.training.step import make_step

Counts = Mapping[str, np.ndarray]
"""By table, how often the train split has each id, in the order of ids."""


@dataclasses.dataclass(frozen=True)
class Program:
    """An experiment, compiled for a mesh.

    Attributes:
      task: the model's dataclass.
      graph: the module without its parameters.
      lengths: the columns of a batch.
      state: shapes and shardings of the State.
      initialize: () → State, sharded.
      step: (State, batch) → (State, metrics); takes the state's memory.
      inference_parameters: State → the parameters to evaluate and to export.
      invalid: State → {path: how many numbers of a parameter, or of its average, are not finite}.
      flops: of one step, over all devices, recomputation left out (framework/training/flops.py).
      place: puts a batch on the devices.
    """

    task: task.TrainedModel
    graph: nnx.GraphDef
    lengths: dict[str, int]
    state: State
    initialize: Any
    step: Any
    inference_parameters: Any
    invalid: Any
    flops: float
    place: Placement


def build_program(
    experiment: config.Experiment,
    schema: Schema,
    devices: jax.sharding.Mesh,
    counts: Counts | None = None,
    constants: Mapping[str, np.ndarray] | None = None,
) -> Program:
    """Compiles an experiment for a mesh.

    Args:
      experiment: what to train, and how.
      schema: of the dataset.
      devices: real ones, or those of an ahead-of-time topology.
      counts: for the exchanges of sparse tables, which without them have room for anything.
      constants: what the model's `constants` says; only a state to start from needs them.

    Raises ConfigError where the mesh does not fit the experiment.
    """
    options = experiment.trainer
    mesh.check_batch(devices, options.batch_size, options.accumulate)
    model = task.of_kind(experiment.model, task.TrainedModel)
    graph, lengths = task.structure(model, schema), model.lengths(schema)
    check(
        not options.pack or model.packs(),
        f"trainer.pack: {type(model).__name__} cannot tell apart several histories in a row",
    )
    rows = mesh.batch_sharding(devices)
    shapes = batch_shapes(schema, lengths, options.batch_size, pack=options.pack)
    batch = {
        name: jax.ShapeDtypeStruct(shape, dtype, sharding=rows)
        for name, (shape, dtype) in shapes.items()
    }
    state = placed(experiment, schema, devices)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    sparse = plan(experiment, schema, devices, batch, counts)

    def trace(experiment: config.Experiment) -> Any:
        return jax.jit(
            make_step(experiment, schema, graph, sparse),
            donate_argnums=0,
            out_shardings=(shardings, mesh.replicated(devices)),
        ).trace(state, batch)

    traced = counted = trace(experiment)
    kernels = devices.devices.flat[0].platform == "gpu" and options.attention != "xla"
    if options.remat != "none" or kernels:
        # What is computed anew is no work of the model; what a kernel computes is.
        trainer = dataclasses.replace(options, remat="none", attention="xla")
        counted = trace(dataclasses.replace(experiment, trainer=trainer))
    initialize = jax.jit(initializer(experiment, schema), out_shardings=shardings)
    initialize = warm_start.with_constants(initialize, constants or {}, state)
    return Program(
        task=model,
        graph=graph,
        lengths=lengths,
        state=state,
        initialize=warm_start.initializer(experiment, schema, initialize, state),
        step=traced.lower().compile(),
        inference_parameters=inference_parameters(experiment, schema, devices),
        invalid=jax.jit(invalid, out_shardings=mesh.replicated(devices)),
        flops=flops.count(counted.jaxpr.jaxpr),
        place=Placement(rows, options.batch_size),
    )


def plan(
    experiment: config.Experiment,
    schema: Schema,
    devices: Any,
    batch: Mapping[str, Any] | None = None,
    counts: Counts | None = None,
) -> TablePlan:
    """The model's sparse tables on a mesh; with a batch's shapes and counts, its exchanges too."""
    model = task.of_kind(experiment.model, task.TrainedModel)
    tables = model.tables(schema)
    if not tables or batch is None or not counts:
        return TablePlan(tables, devices)
    lookups = jax.eval_shape(lambda b: model.lookups(schema, b, jax.random.key(0)), dict(batch))
    return TablePlan(
        tables,
        devices,
        counts={path: _draws(path, tables[path].rows, lookups, counts[path]) for path in tables},
    )


def _draws(path: str, rows: int, lookups: Mapping[str, Any], counts: np.ndarray) -> np.ndarray:
    """How often each id is looked up, relatively: by counts, but evenly where it is drawn."""
    own, drawn = (
        sum(
            math.prod(lookup.ids.shape)
            for lookup in lookups.values()
            if lookup.path == path and lookup.shared == shared
        )
        for shared in (False, True)
    )
    weights = np.zeros(rows)
    weights[: len(counts)] = counts * (own / max(counts.sum(), 1))
    return weights + drawn / rows
