"""The training step: a pure function of plain arrays."""

from collections.abc import Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from podway.framework import config, task
from podway.framework.devices import mesh
from podway.framework.embedding.lookup import EmbeddedRows, Lookup
from podway.framework.embedding.plan import TablePlan
from podway.framework.schema.schema import Schema
from podway.framework.training import gradient, norms
from podway.framework.training.sparse import sparse_rows
from podway.framework.training.state import State, frozen_apart


def make_step(
    experiment: config.Experiment, schema: Schema, graph: nnx.GraphDef, plan: TablePlan
) -> Any:
    """A pure function (State, batch) → (State, metrics)."""
    model, options = task.of_kind(experiment.model, task.TrainedModel), experiment.trainer
    optimizer, tables = experiment.optimizer.build(options.steps), sparse_rows(plan, experiment)

    def step(state: State, batch: task.Batch) -> tuple[State, dict[str, jax.Array]]:
        key = jax.random.fold_in(jax.random.key(options.seed + 1), state["step"])
        lookups = model.lookups(schema, batch, jax.random.fold_in(key, 0))
        fetched = tables.fetch(state, lookups)
        trained, frozen = frozen_apart(state["parameters"], options.freeze)
        progress = state["step"] / options.steps
        loss = loss_of(model, experiment, graph, plan, lookups, frozen, progress)
        value, metrics, gradients, of_rows = gradient.accumulate(
            loss,
            trained,
            gradient.Part(
                batch, {name: lookup.ids for name, lookup in lookups.items()}, fetched.rows
            ),
            key,
            parts=options.accumulate,
            shared=frozenset(name for name, lookup in lookups.items() if lookup.shared),
            devices=plan.mesh,
        )
        collected = tables.collect(fetched, of_rows)
        norm = jnp.sqrt(optax.tree.norm(gradients, squared=True) + collected.squared_norm)
        scale = jnp.minimum(1.0, options.clip_norm / norm) if options.clip_norm else 1.0
        clipped = jax.tree.map(lambda each: each * scale, gradients)
        updates, moments = optimizer.update(clipped, state["optimizer"], trained)
        if options.gradient_statistics:
            sparse = collected.squared_norm if plan.tables else None
            metrics |= norms.statistics(
                gradients, updates, trained, norm, options.clip_norm, sparse
            )
        trained = cast(task.Parameters, optax.apply_updates(trained, updates))
        parameters = {path: (trained | frozen)[path] for path in state["parameters"]}
        new = {"step": state["step"] + 1, "parameters": parameters, "optimizer": moments}
        if options.ema:
            new["ema"] = moving_average(state["ema"], trained, options.ema, state["step"])
        new |= tables.update(state, collected, scale)
        return new, {"loss": value, "gradient_norm": norm, **metrics, **fetched.metrics}

    return step


def loss_of(
    model: task.TrainedModel,
    experiment: config.Experiment,
    graph: nnx.GraphDef,
    plan: TablePlan,
    lookups: Mapping[str, Lookup],
    frozen: task.Parameters,
    progress: jax.Array,
) -> gradient.Loss:
    """The loss of some of a batch's examples, in the type that is computed in.

    A step of compression changes the parameters that it is computed with, by the run's `progress`.
    """
    options, steps = experiment.trainer, experiment.compression
    compute = jnp.bfloat16 if options.precision == "bf16" else jnp.float32
    empty = {path: jnp.zeros((0, table.width), compute) for path, table in plan.tables.items()}

    def loss(trained: task.Parameters, part: gradient.Part, key: jax.Array) -> task.Loss:
        parameters = {
            path: array if task.is_constant(path) else array.astype(compute)
            for path, array in (trained | frozen).items()
        }
        parameters = config.forward(steps, parameters, progress)
        values = {name: each.astype(compute) for name, each in part.values.items()}
        values |= {
            name: take(parameters[lookups[name].path], ids, plan.mesh)
            for name, ids in part.ids.items()
            if name not in values
        }
        rows = {name: EmbeddedRows(values[name], ids) for name, ids in part.ids.items()}
        context = task.ForwardContext(key, options.remat, plan.mesh, options.attention)
        return model.loss(task.merge(graph, parameters | empty), part.batch, rows, context)

    return loss


def take(table: jax.Array, ids: jax.Array, devices: jax.sharding.Mesh) -> jax.Array:
    """Rows of an ordinary parameter, which each device first gathers whole.

    Left to itself, the partitioner exchanges the rows of the global batch instead.
    """
    whole = jax.lax.with_sharding_constraint(table, mesh.replicated(devices))
    return jnp.take(whole, ids, axis=0)


def moving_average(
    average: task.Parameters, parameters: task.Parameters, decay: float, step: jax.Array
) -> task.Parameters:
    """average·d + parameters·(1 − d), where d rises to `decay` over the first steps.

    d = min(decay, (1 + step) / (10 + step)), so that the initial parameters are soon forgotten.
    """
    d = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda old, new: old * d + new * (1 - d), average, parameters)
