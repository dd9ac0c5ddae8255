"""What a training step does for the model's sparse tables; nothing, where there are none."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from podway.framework import config
from podway.framework.embedding import update
from podway.framework.embedding.lookup import Lookup
from podway.framework.embedding.plan import TablePlan
from podway.framework.embedding.update import Collected, Fetched
from podway.framework.training.state import State


class NoSparseRows:
    """Of a model without sparse tables: nothing is fetched, collected or updated."""

    def fetch(self, state: State, lookups: Mapping[str, Lookup]) -> Fetched:
        """The rows of sparse tables that are looked up."""
        return Fetched({}, None, {})

    def collect(self, fetched: Fetched, gradients: Mapping[str, jax.Array]) -> Collected:
        """The gradients of fetched rows, where the rows lie."""
        return Collected({}, {}, jnp.zeros(()))

    def update(self, state: State, collected: Collected, scale: jax.Array | float) -> State:
        """The part of the new state that is of sparse tables; gradients are scaled."""
        return {}


@dataclasses.dataclass(frozen=True)
class SparseRows(NoSparseRows):
    """Of a model that has some (framework/embedding/update.py).

    Attributes:
      plan: where they lie.
      experiment: says how their rows follow their gradients.
    """

    plan: TablePlan
    experiment: config.Experiment

    def fetch(self, state: State, lookups: Mapping[str, Lookup]) -> Fetched:
        """See NoSparseRows."""
        own = {name: lookup for name, lookup in lookups.items() if lookup.path in self.plan.tables}
        fetched = update.fetch(self.plan, state["tables"], own)
        return fetched._replace(residual=(own, fetched.residual))

    def collect(self, fetched: Fetched, gradients: Mapping[str, jax.Array]) -> Collected:
        """See NoSparseRows."""
        own, residual = fetched.residual
        return update.collect(self.plan, own, gradients, residual)

    def update(self, state: State, collected: Collected, scale: jax.Array | float) -> State:
        """See NoSparseRows."""
        steps = self.experiment.trainer.steps
        tables, slots = update.update(
            self.plan,
            state["tables"],
            state["slots"],
            collected,
            step=state["step"],
            scale=scale,
            factor=self.experiment.optimizer.decay(state["step"], steps),
        )
        return {"tables": tables, "slots": slots}


def sparse_rows(plan: TablePlan, experiment: config.Experiment) -> NoSparseRows:
    """What an experiment's step does for the tables of a plan."""
    return SparseRows(plan, experiment) if plan.tables else NoSparseRows()
