"""The training step: a pure function, compiled ahead of time for a mesh.

The module is built once under `jax.eval_shape` and merged with the parameters inside the trace; the
state is plain data.
"""

import dataclasses
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from framework import config, flops, mesh, task
from framework.input import batch_shapes
from framework.placement import Placement
from framework.schema import Schema

State = dict[str, Any]
"""{"step": i32 [], "parameters": {path: f32}, "optimizer": optax state}."""


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
      flops: of one step, over all devices (framework/flops.py).
      place: puts a batch on the devices.
    """

    task: task.Task
    graph: nnx.GraphDef
    lengths: dict[str, int]
    state: State
    initialize: Any
    step: Any
    flops: float
    place: Placement


def build(experiment: config.Experiment, schema: Schema, devices: jax.sharding.Mesh) -> Program:
    """Compiles an experiment for a mesh. Raises ConfigError where the mesh does not fit it."""
    model = cast(task.Task, experiment.model)
    graph, lengths = task.structure(model, schema), model.lengths(schema)
    optimizer = experiment.optimizer.build(experiment.trainer.steps)

    def initialize() -> State:
        parameters = task.initialize(model, schema, jax.random.key(experiment.trainer.seed))
        return {
            "step": jnp.zeros((), jnp.int32),
            "parameters": parameters,
            "optimizer": optimizer.init(parameters),
        }

    shapes = jax.eval_shape(initialize)
    shardings = mesh.shardings(shapes, devices)
    rows = mesh.batch_sharding(devices)
    state = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        shardings,
    )
    batch_size = experiment.trainer.batch_size
    batch = {
        name: jax.ShapeDtypeStruct(shape, dtype, sharding=rows)
        for name, (shape, dtype) in batch_shapes(schema, lengths, batch_size).items()
    }
    traced = jax.jit(
        make_step(model, graph, optimizer, experiment.trainer),
        donate_argnums=0,
        out_shardings=(shardings, mesh.replicated(devices)),
    ).trace(state, batch)
    return Program(
        task=model,
        graph=graph,
        lengths=lengths,
        state=state,
        initialize=jax.jit(initialize, out_shardings=shardings),
        step=traced.lower().compile(),
        flops=flops.count(traced.jaxpr.jaxpr),
        place=Placement(rows, batch_size),
    )


def make_step(
    model: task.Task,
    graph: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    options: config.Trainer,
) -> Any:
    """A pure function (State, batch) → (State, metrics)."""
    compute = jnp.bfloat16 if options.precision == "bf16" else jnp.float32

    def step(state: State, batch: task.Batch) -> tuple[State, dict[str, jax.Array]]:
        key = jax.random.fold_in(jax.random.key(options.seed + 1), state["step"])

        def loss(parameters: task.Parameters) -> Any:
            cast_down = {path: array.astype(compute) for path, array in parameters.items()}
            return model.loss(task.merge(graph, cast_down), batch, nnx.Rngs(key))

        (value, metrics), gradients = jax.value_and_grad(loss, has_aux=True)(state["parameters"])
        updates, slots = optimizer.update(gradients, state["optimizer"], state["parameters"])
        new = {
            "step": state["step"] + 1,
            "parameters": optax.apply_updates(state["parameters"], updates),
            "optimizer": slots,
        }
        return new, {"loss": value, "gradient_norm": optax.tree.norm(gradients), **metrics}

    return step
