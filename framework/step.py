"""The training step: a pure function, compiled ahead of time for a mesh.

The module is built once under `jax.eval_shape` and merged with the parameters inside the trace; the
state is plain data.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from framework import config, flops, gradient, mesh, sharding, start, task
from framework.error import check
from framework.input import batch_shapes
from framework.placement import Placement
from framework.schema import Schema

State = dict[str, Any]
"""{"step": i32 [], "parameters": {path: f32}, "optimizer": optax state of those that are trained,
"ema": {path: f32} of these, where there is a moving average}."""


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
    options = experiment.trainer
    mesh.check_batch(devices, options.batch_size, options.accumulate)
    model = cast(task.Task, experiment.model)
    graph, lengths = task.structure(model, schema), model.lengths(schema)
    initialize = initializer(experiment, schema)
    shapes = jax.eval_shape(initialize)
    shardings = sharding.shardings(shapes, devices)
    rows = mesh.batch_sharding(devices)
    state = jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        shapes,
        shardings,
    )
    batch = {
        name: jax.ShapeDtypeStruct(shape, dtype, sharding=rows)
        for name, (shape, dtype) in batch_shapes(schema, lengths, options.batch_size).items()
    }
    traced = jax.jit(
        make_step(experiment, schema, graph, devices),
        donate_argnums=0,
        out_shardings=(shardings, mesh.replicated(devices)),
    ).trace(state, batch)
    return Program(
        task=model,
        graph=graph,
        lengths=lengths,
        state=state,
        initialize=start.initializer(
            jax.jit(initialize, out_shardings=shardings), options.start, state
        ),
        step=traced.lower().compile(),
        flops=flops.count(traced.jaxpr.jaxpr),
        place=Placement(rows, options.batch_size),
    )


def initializer(experiment: config.Experiment, schema: Schema) -> Any:
    """A pure function () → State, to be jitted with the state's shardings."""
    model, options = cast(task.Task, experiment.model), experiment.trainer
    optimizer = experiment.optimizer.build(options.steps)

    def initialize() -> State:
        parameters = task.initialize(model, schema, jax.random.key(options.seed))
        trained, _ = frozen_apart(parameters, options.freeze)
        return {
            "step": jnp.zeros((), jnp.int32),
            "parameters": parameters,
            "optimizer": optimizer.init(trained),
            # An array of its own: the step takes the memory of both.
            **({"ema": jax.tree.map(jnp.copy, trained)} if options.ema else {}),
        }

    return initialize


def make_step(
    experiment: config.Experiment, schema: Schema, graph: nnx.GraphDef, devices: jax.sharding.Mesh
) -> Any:
    """A pure function (State, batch) → (State, metrics)."""
    model, options = cast(task.Task, experiment.model), experiment.trainer
    optimizer = experiment.optimizer.build(options.steps)
    compute = jnp.bfloat16 if options.precision == "bf16" else jnp.float32

    def step(state: State, batch: task.Batch) -> tuple[State, dict[str, jax.Array]]:
        key = jax.random.fold_in(jax.random.key(options.seed + 1), state["step"])
        lookups = model.lookups(schema, batch, jax.random.fold_in(key, 0))
        trained, frozen = frozen_apart(state["parameters"], options.freeze)

        def loss(trained: task.Parameters, part: gradient.Part, key: jax.Array) -> Any:
            parameters = {path: array.astype(compute) for path, array in (trained | frozen).items()}
            rows = {
                name: task.Rows(take(parameters[lookups[name].path], ids, devices), ids)
                for name, ids in part.ids.items()
            }
            return model.loss(task.merge(graph, parameters), part.batch, rows, nnx.Rngs(key))

        ids = {name: lookup.ids for name, lookup in lookups.items()}
        shared = frozenset(name for name, lookup in lookups.items() if lookup.shared)
        value, metrics, gradients, _ = gradient.accumulate(
            gradient.checkpointed(loss, options.remat),
            trained,
            gradient.Part(batch, ids, {}),
            key,
            parts=options.accumulate,
            shared=shared,
            devices=devices,
        )
        norm = optax.tree.norm(gradients)
        if options.clip_norm:
            scale = jnp.minimum(1.0, options.clip_norm / jnp.maximum(norm, 1e-30))
            gradients = jax.tree.map(lambda each: each * scale, gradients)
        updates, slots = optimizer.update(gradients, state["optimizer"], trained)
        trained = cast(task.Parameters, optax.apply_updates(trained, updates))
        new = {
            "step": state["step"] + 1,
            "parameters": {path: (trained | frozen)[path] for path in state["parameters"]},
            "optimizer": slots,
        }
        if options.ema:
            new["ema"] = moving_average(state["ema"], trained, options.ema, state["step"])
        return new, {"loss": value, "gradient_norm": norm, **metrics}

    return step


def take(table: jax.Array, ids: jax.Array, devices: jax.sharding.Mesh) -> jax.Array:
    """Rows of an ordinary parameter, which each device first gathers whole.

    Left to itself, the partitioner exchanges the rows of the global batch instead.
    """
    whole = jax.lax.with_sharding_constraint(table, mesh.replicated(devices))
    return jnp.take(whole, ids, axis=0)


def frozen_apart(
    parameters: Mapping[str, Any], patterns: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters that are trained, and those whose path one of `patterns` matches.

    Raises ConfigError for a pattern that matches none, and where all are matched.
    """
    frozen: dict[str, Any] = {}
    for pattern in patterns:
        found = {path: each for path, each in parameters.items() if re.fullmatch(pattern, path)}
        check(
            bool(found),
            f"trainer.freeze: no parameter's path matches {pattern!r}; there are"
            f" {', '.join(sorted(parameters))}",
        )
        frozen |= found
    check(len(frozen) < len(parameters), "trainer.freeze leaves no parameter to train")
    return {path: each for path, each in parameters.items() if path not in frozen}, frozen


def moving_average(
    average: task.Parameters, parameters: task.Parameters, decay: float, step: jax.Array
) -> task.Parameters:
    """average·d + parameters·(1 − d), where d rises to `decay` over the first steps.

    d = min(decay, (1 + step) / (10 + step)), so that the initial parameters are soon forgotten.
    """
    d = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda old, new: old * d + new * (1 - d), average, parameters)


def scored_parameters(state: State) -> task.Parameters:
    """The parameters to judge and to export: their moving average where there is one."""
    return state["parameters"] | state.get("ema", {})
