"""The training state: what it is of, where it lies on a mesh, and what of it is evaluated."""

import functools
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

from podway.framework import config, task
from podway.framework.devices import sharding
from podway.framework.devices.mesh import AXES
from podway.framework.embedding import table
from podway.framework.embedding.plan import TablePlan
from podway.framework.error import check
from podway.framework.schema.schema import Schema

State = dict[str, Any]
"""{"step": i32 [], "parameters": {path: f32; of constants any type}, "optimizer": optax state of
those that are trained, "ema": {path: f32} of these, where there is a moving average, "tables":
{path: f32}, "slots": {path: {name: f32}}, where parameters are sparse tables}."""


def placed(experiment: config.Experiment, schema: Schema, devices: Any) -> State:
    """Shapes and shardings of the State on a mesh, real or abstract. Raises ConfigError."""
    shapes = jax.eval_shape(initializer(experiment, schema))
    tables = TablePlan(task.of_kind(experiment.model, task.TrainedModel).tables(schema), devices)
    specs = sharding.specs(
        shapes,
        devices.shape,
        {path: tables.spec(path) for path in tables.tables},
        experiment.model.sharding_rules,
    )
    return jax.tree.map(
        lambda leaf, spec: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=NamedSharding(devices, spec)
        ),
        shapes,
        specs,
    )


def describe_state(
    experiment: config.Experiment, schema: Schema, sizes: Mapping[str, int]
) -> list[sharding.Placed]:
    """Where the State lies on a mesh {axis: devices}, of which there need be none here."""
    state = placed(experiment, schema, AbstractMesh(tuple(sizes.values()), tuple(sizes)))
    specs = jax.tree.map(lambda leaf: leaf.sharding.spec, state)
    return list(sharding.describe(state, specs, sizes, experiment.model.sharding_rules))


def initializer(experiment: config.Experiment, schema: Schema) -> Any:
    """A pure function () → State, to be jitted with the state's shardings."""
    model, options = task.of_kind(experiment.model, task.TrainedModel), experiment.trainer
    optimizer = experiment.optimizer.build(options.steps)
    tables = model.tables(schema)

    def initialize() -> State:
        key = jax.random.key(options.seed)
        parameters = task.initialize(model, schema, key)
        parameters = {path: array for path, array in parameters.items() if path not in tables}
        if experiment.compression and experiment.compression[-1].trains:
            parameters |= experiment.compression[-1].added(parameters)
        trained, _ = frozen_apart(parameters, options.freeze)
        state: State = {
            "step": jnp.zeros((), jnp.int32),
            "parameters": parameters,
            "optimizer": optimizer.init(trained),
        }
        if options.ema:
            # Arrays of its own: the step takes the memory of both.
            state["ema"] = jax.tree.map(jnp.copy, trained)
        if tables:
            keys = jax.random.split(jax.random.fold_in(key, len(tables)), len(tables))
            state["tables"] = {
                path: table.initialize(each, key)
                for (path, each), key in zip(tables.items(), keys, strict=True)
            }
            state["slots"] = {path: table.initialize_slots(each) for path, each in tables.items()}
        return state

    return initialize


def frozen_apart(
    parameters: Mapping[str, Any], patterns: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters that are trained; constants, and those whose path one of `patterns` matches.

    Raises ConfigError for a pattern that matches none, and where all are matched.
    """
    frozen = {path: array for path, array in parameters.items() if task.is_constant(path)}
    for pattern in patterns:
        found = {path: array for path, array in parameters.items() if re.fullmatch(pattern, path)}
        check(
            bool(found),
            f"trainer.freeze: no parameter's path matches {pattern!r}; there are"
            f" {', '.join(sorted(parameters))}",
        )
        frozen |= found
    check(len(frozen) < len(parameters), "trainer.freeze leaves no parameter to train")
    return {path: array for path, array in parameters.items() if path not in frozen}, frozen


def inference_parameters(
    experiment: config.Experiment, schema: Schema, devices: jax.sharding.Mesh
) -> Any:
    """A function State → the parameters to evaluate and to export.

    Their moving average where there is one; of each sparse table a copy in the order of ids, its
    rows split among the devices. Of a step of compression what it computes with in the end.
    """
    tables = task.of_kind(experiment.model, task.TrainedModel).tables(schema)
    in_order = {
        path: jax.jit(
            functools.partial(table.in_order, each), out_shardings=_in_order_place(each, devices)
        )
        for path, each in tables.items()
    }

    steps = experiment.compression
    finished = jax.jit(lambda parameters: config.finished(steps, parameters)) if steps else None

    def parameters(state: State) -> task.Parameters:
        in_full = {path: convert(state["tables"][path]) for path, convert in in_order.items()}
        parameters = state["parameters"] | state.get("ema", {}) | in_full
        return finished(parameters) if finished else parameters

    return parameters


def invalid(state: State) -> dict[str, jax.Array]:
    """How many numbers are not finite, by path: of parameters, sparse tables, moving averages."""
    parts = {"": "parameters", "ema ": "ema", "table ": "tables"}
    arrays = {
        kind + path: array
        for kind, part in parts.items()
        for path, array in state.get(part, {}).items()
        if jnp.issubdtype(array.dtype, jnp.floating)
    }
    return {path: (~jnp.isfinite(array)).sum() for path, array in arrays.items()}


def inference_shapes(
    experiment: config.Experiment, schema: Schema, devices: jax.sharding.Mesh
) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and shardings of what `inference_parameters` returns."""
    state = placed(experiment, schema, devices)
    in_full = {
        path: jax.ShapeDtypeStruct(
            (each.rows, each.width), jnp.float32, sharding=_in_order_place(each, devices)
        )
        for path, each in task.of_kind(experiment.model, task.TrainedModel).tables(schema).items()
    }
    shapes = state["parameters"] | state.get("ema", {}) | in_full
    left = jax.eval_shape(lambda each: config.finished(experiment.compression, each), shapes)
    return {path: shapes[path] for path in left}


def _in_order_place(each: table.Table, devices: jax.sharding.Mesh) -> NamedSharding:
    split = AXES if each.rows % devices.size == 0 else None
    return NamedSharding(devices, PartitionSpec(split))
