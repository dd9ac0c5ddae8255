"""The training step: a pure function, compiled ahead of time for a mesh.

The module is built once under `jax.eval_shape` and merged with the parameters inside the trace; the
state is plain data.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

from podway.framework import config, task
from podway.framework.devices import mesh, sharding
from podway.framework.devices.mesh import AXES
from podway.framework.embedding import table
from podway.framework.embedding import update as embedding
from podway.framework.embedding.plan import Plan
from podway.framework.error import check
from podway.framework.input.batches import batch_shapes
from podway.framework.input.placement import Placement
from podway.framework.schema.schema import Schema
from podway.framework.training import flops, gradient
from podway.framework.training import warm_start as start

State = dict[str, Any]
"""{"step": i32 [], "parameters": {path: f32; of constants any type}, "optimizer": optax state of
those that are trained, "ema": {path: f32} of these, where there is a moving average, "tables":
{path: f32}, "slots": {path: {name: f32}}, where parameters are sparse tables}."""

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
      judged: State → the parameters to judge and to export.
      flops: of one step, over all devices, recomputation left out (framework/training/flops.py).
      place: puts a batch on the devices.
    """

    task: task.Task
    graph: nnx.GraphDef
    lengths: dict[str, int]
    state: State
    initialize: Any
    step: Any
    judged: Any
    flops: float
    place: Placement


def build(
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
    model = cast(task.Task, experiment.model)
    graph, lengths = task.structure(model, schema), model.lengths(schema)
    check(
        not options.pack or experiment.model.packs(),
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
    initialize = start.with_constants(initialize, constants or {}, state)
    return Program(
        task=model,
        graph=graph,
        lengths=lengths,
        state=state,
        initialize=start.initializer(experiment, schema, initialize, state),
        step=traced.lower().compile(),
        judged=judged(experiment, schema, devices),
        flops=flops.count(counted.jaxpr.jaxpr),
        place=Placement(rows, options.batch_size),
    )


def plan(
    experiment: config.Experiment,
    schema: Schema,
    devices: Any,
    batch: Mapping[str, Any] | None = None,
    counts: Counts | None = None,
) -> Plan:
    """The model's sparse tables on a mesh; with a batch's shapes and counts, its exchanges too."""
    model = cast(task.Task, experiment.model)
    tables = model.tables(schema)
    if not tables or batch is None or not counts:
        return Plan(tables, devices)
    lookups = jax.eval_shape(lambda b: model.lookups(schema, b, jax.random.key(0)), dict(batch))
    return Plan(
        tables,
        devices,
        counts={path: _draws(path, tables[path].rows, lookups, counts[path]) for path in tables},
    )


def _draws(path: str, rows: int, lookups: Mapping[str, Any], counts: np.ndarray) -> np.ndarray:
    """How often each id is looked up, relatively: by counts, but evenly where it is drawn."""
    own, drawn = (
        sum(
            math.prod(each.ids.shape)
            for each in lookups.values()
            if each.path == path and each.shared == shared
        )
        for shared in (False, True)
    )
    weights = np.zeros(rows)
    weights[: len(counts)] = counts * (own / max(counts.sum(), 1))
    return weights + drawn / rows


def placed(experiment: config.Experiment, schema: Schema, devices: Any) -> State:
    """Shapes and shardings of the State on a mesh, real or abstract. Raises ConfigError."""
    shapes = jax.eval_shape(initializer(experiment, schema))
    tables = plan(experiment, schema, devices)
    specs = sharding.specs(
        shapes, devices.shape, {path: tables.spec(path) for path in tables.tables}
    )
    return jax.tree.map(
        lambda leaf, spec: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=NamedSharding(devices, spec)
        ),
        shapes,
        specs,
    )


def describe(
    experiment: config.Experiment, schema: Schema, sizes: Mapping[str, int]
) -> list[sharding.Placed]:
    """Where the State lies on a mesh {axis: devices}, of which there need be none here."""
    state = placed(experiment, schema, AbstractMesh(tuple(sizes.values()), tuple(sizes)))
    specs = jax.tree.map(lambda leaf: leaf.sharding.spec, state)
    return list(sharding.describe(state, specs, sizes))


def initializer(experiment: config.Experiment, schema: Schema) -> Any:
    """A pure function () → State, to be jitted with the state's shardings."""
    model, options = cast(task.Task, experiment.model), experiment.trainer
    optimizer = experiment.optimizer.build(options.steps)
    tables = model.tables(schema)

    def initialize() -> State:
        key = jax.random.key(options.seed)
        parameters = task.initialize(model, schema, key)
        parameters = {path: each for path, each in parameters.items() if path not in tables}
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


def make_step(
    experiment: config.Experiment, schema: Schema, graph: nnx.GraphDef, sparse: Plan
) -> Any:
    """A pure function (State, batch) → (State, metrics)."""
    model, options = cast(task.Task, experiment.model), experiment.trainer
    optimizer = experiment.optimizer.build(options.steps)
    compute = jnp.bfloat16 if options.precision == "bf16" else jnp.float32
    empty = {path: jnp.zeros((0, each.width), compute) for path, each in sparse.tables.items()}

    def step(state: State, batch: task.Batch) -> tuple[State, dict[str, jax.Array]]:
        key = jax.random.fold_in(jax.random.key(options.seed + 1), state["step"])
        lookups = model.lookups(schema, batch, jax.random.fold_in(key, 0))
        remote = {name: each for name, each in lookups.items() if each.path in sparse.tables}
        fetched = embedding.fetch(sparse, state.get("tables", {}), remote)
        trained, frozen = frozen_apart(state["parameters"], options.freeze)

        def loss(trained: task.Parameters, part: gradient.Part, key: jax.Array) -> Any:
            parameters = {
                path: array if task.is_constant(path) else array.astype(compute)
                for path, array in (trained | frozen).items()
            }
            values = {name: each.astype(compute) for name, each in part.values.items()}
            values |= {
                name: take(parameters[lookups[name].path], ids, sparse.mesh)
                for name, ids in part.ids.items()
                if name not in values
            }
            rows = {name: task.Rows(values[name], ids) for name, ids in part.ids.items()}
            module = task.merge(graph, parameters | empty)
            how = task.Pass(key, options.remat, sparse.mesh, options.attention)
            return model.loss(module, part.batch, rows, how)

        value, metrics, gradients, of_rows = gradient.accumulate(
            loss,
            trained,
            gradient.Part(batch, {name: each.ids for name, each in lookups.items()}, fetched.rows),
            key,
            parts=options.accumulate,
            shared=frozenset(name for name, each in lookups.items() if each.shared),
            devices=sparse.mesh,
        )
        collected = embedding.collect(sparse, remote, of_rows, fetched.residual)
        norm = jnp.sqrt(optax.tree.norm(gradients, squared=True) + collected.squared_norm)
        scale = jnp.minimum(1.0, options.clip_norm / norm) if options.clip_norm else 1.0
        gradients = jax.tree.map(lambda each: each * scale, gradients)
        updates, moments = optimizer.update(gradients, state["optimizer"], trained)
        trained = cast(task.Parameters, optax.apply_updates(trained, updates))
        new = {
            "step": state["step"] + 1,
            "parameters": {path: (trained | frozen)[path] for path in state["parameters"]},
            "optimizer": moments,
        }
        if options.ema:
            new["ema"] = moving_average(state["ema"], trained, options.ema, state["step"])
        if sparse.tables:
            new["tables"], new["slots"] = embedding.update(
                sparse,
                state["tables"],
                state["slots"],
                collected,
                step=state["step"],
                scale=scale,
                factor=experiment.optimizer.decay(state["step"], options.steps),
            )
            metrics |= fetched.metrics
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
    """The parameters that are trained; constants, and those whose path one of `patterns` matches.

    Raises ConfigError for a pattern that matches none, and where all are matched.
    """
    frozen = {path: each for path, each in parameters.items() if task.is_constant(path)}
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


def judged(experiment: config.Experiment, schema: Schema, devices: jax.sharding.Mesh) -> Any:
    """A function State → the parameters to judge and to export.

    Their moving average where there is one; of each sparse table a copy in the order of ids, its
    rows split among the devices.
    """
    tables = cast(task.Task, experiment.model).tables(schema)
    in_order = {
        path: jax.jit(
            functools.partial(table.in_order, each), out_shardings=_in_order_place(each, devices)
        )
        for path, each in tables.items()
    }

    def parameters(state: State) -> task.Parameters:
        in_full = {path: convert(state["tables"][path]) for path, convert in in_order.items()}
        return state["parameters"] | state.get("ema", {}) | in_full

    return parameters


def judged_shapes(
    experiment: config.Experiment, schema: Schema, devices: jax.sharding.Mesh
) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and shardings of what `judged` returns."""
    state = placed(experiment, schema, devices)
    in_full = {
        path: jax.ShapeDtypeStruct(
            (each.rows, each.width), jnp.float32, sharding=_in_order_place(each, devices)
        )
        for path, each in cast(task.Task, experiment.model).tables(schema).items()
    }
    return state["parameters"] | state.get("ema", {}) | in_full


def _in_order_place(each: table.Table, devices: jax.sharding.Mesh) -> NamedSharding:
    split = AXES if each.rows % devices.size == 0 else None
    return NamedSharding(devices, PartitionSpec(split))
