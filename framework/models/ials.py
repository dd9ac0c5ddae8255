"""iALS: matrix factorisation of implicit feedback (Hu, Koren & Volinsky 2008, ICDM).

In the form and with the regularisation of Rendle et al. 2021 (arXiv:2110.14037): of user vectors w
and item vectors h, those that minimise

    Σ over seen pairs (1 − w·h)²  +  α Σ over all pairs (w·h)²
      + λ Σ_u (|items of u| + α|items|)^ν ‖w_u‖²  +  λ Σ_i (|users of i| + α|users|)^ν ‖h_i‖²

Given the ones, the others are least squares, a small system each: all users and all items are
solved for in turn. Users are not stored. A history's vector is solved for when it is asked, by
conjugate gradients (Hestenes & Stiefel 1952), so a user who was not there in training is served as
any other is.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from scipy import sparse

from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.error import check
from podway.framework.input.dataset import Dataset
from podway.framework.input.interactions import train_matrix
from podway.framework.metrics import top_k
from podway.framework.models.parts.history import item_logits, item_rows, occurrences
from podway.framework.schema.schema import FIRST_VALUE, Schema
from podway.framework.task import SERVING, Batch, FittedModel, ForwardContext

SOLVED_AT_ONCE = 1024
"""Systems that lie in memory at once while the model is fitted."""


@dataclasses.dataclass(frozen=True)
class Ials(FittedModel):
    """Matrix factorisation by alternating least squares."""

    width: int = 64
    """Width of the user and item vectors."""
    unobserved: float = 0.3
    """α: weight of the pairs that were not seen, relative to those that were."""
    regularization: float = 0.003
    """λ."""
    exponent: float = 1.0
    """ν: how the regularisation of a vector grows with what it is fitted to."""
    epochs: int = 8
    """Times that all users and all items are solved for."""
    scale: float = 0.1
    """Standard deviation of a random initial vector's length."""
    iterations: int = 32
    """Steps of the conjugate gradients that solve for the vector of a history."""

    def __post_init__(self):
        for field in ("width", "epochs", "iterations"):
            value = getattr(self, field)
            check(value >= 1, f"model.{field} is {value}; give 1 or more")
        for field in ("unobserved", "regularization", "scale"):
            value = getattr(self, field)
            check(value > 0, f"model.{field} is {value}; give more than 0")

    def fit(self, dataset: Dataset, seed: int) -> dict[str, np.ndarray]:
        """Solves for all users and all items in turn (f64)."""
        seen, items = train_matrix(dataset), dataset.schema["item"].size
        by_user = sparse.csr_matrix(seen[:, FIRST_VALUE:])
        by_item = sparse.csr_matrix(by_user.T)
        deviation, size = self.scale * self.width**-0.5, (items - FIRST_VALUE, self.width)
        item = np.random.default_rng(seed).normal(0, deviation, size)
        for _ in range(self.epochs):
            user = self.solve(by_user, item)
            item = self.solve(by_item, user)
        table = np.zeros((item_rows(items), self.width), np.float32)
        table[FIRST_VALUE:items] = item
        return {"item/embedding": table, "gram": (item.T @ item).astype(np.float32)}

    def solve(self, seen: sparse.csr_matrix, other: np.ndarray) -> np.ndarray:
        """The best vectors of the rows of `seen`, given those of its columns, f64 [rows, width]."""
        everywhere = self.unobserved * other.T @ other
        ridge = self._ridge(np.diff(seen.indptr), len(other))
        vectors = np.zeros((len(seen.indptr) - 1, self.width))
        for start in range(0, len(vectors), SOLVED_AT_ONCE):
            rows = range(start, min(start + SOLVED_AT_ONCE, len(vectors)))
            own = [other[seen.indices[seen.indptr[row] : seen.indptr[row + 1]]] for row in rows]
            systems = np.stack([each.T @ each for each in own]) + everywhere
            systems += ridge[rows, None, None] * np.eye(self.width)
            right = np.stack([each.sum(0) for each in own])
            vectors[rows] = np.linalg.solve(systems, right[..., None])[..., 0]
        return vectors

    def build(self, schema: Schema, rngs: nnx.Rngs) -> "Vectors":
        """The module, with a vector for each item id."""
        return Vectors(schema["item"].size, self.width, rngs)

    def embeddings(self, schema: Schema) -> dict[str, str]:
        """The items' vectors."""
        return {"item": "item/embedding"}

    def in_formats(self, schema: Schema) -> tuple[str, ...]:
        """The items' vectors: they are looked up and multiplied with."""
        return ("item/embedding",)

    def scores(
        self,
        module: "Vectors",
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> Float[Array, "batch rows"]:
        """Dot products with the vector that fits the history best."""
        return item_logits(*self.factors(module, batch, rows, context), module.items)

    def factors(
        self,
        module: "Vectors",
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> top_k.Factors:
        """The user's vector, from the user's items, each of which counts once; the items'."""
        table, own = module.item.embedding[...], rows["item"].values
        _, weight = occurrences(batch["item"], table.shape[0])
        system = jnp.einsum("bl,blv,blw->bvw", weight, own, own)
        ridge = self._ridge(weight.sum(1), module.items - FIRST_VALUE)
        system += self.unobserved * module.gram[...]
        system += ridge[:, None, None] * jnp.eye(self.width)
        right = jnp.einsum("bl,blw->bw", weight, own)
        return top_k.Factors(conjugate_gradients(system, right, self.iterations), table)

    def _ridge(self, seen, columns: int):
        """The regularisation of vectors that are fitted to so many seen pairs among `columns`."""
        return self.regularization * (seen + self.unobserved * columns) ** self.exponent


class Vectors(nnx.Module):
    """Item vectors, and their Gram matrix, HᵀH."""

    def __init__(self, items: int, width: int, rngs: nnx.Rngs):
        self.items = items
        self.item = nnx.Embed(item_rows(items), width, rngs=rngs)
        self.gram = nnx.Param(jnp.zeros((width, width)))


def conjugate_gradients(
    system: Float[Array, "batch width width"], right: Float[Array, "batch width"], iterations: int
) -> Float[Array, "batch width"]:
    """Solves system · x = right, with symmetric positive definite systems, from x = 0.

    Scaled by the systems' diagonal (Jacobi). No library call: what is exported must be plain XLA.
    """
    inverse_diagonal = 1.0 / jnp.diagonal(system, axis1=1, axis2=2)

    def ratio(above: Array, below: Array) -> Array:
        # Where a system is solved, both are 0.
        return jnp.where(below > 0, above / jnp.where(below > 0, below, 1.0), 0.0)[:, None]

    def step(_: int, state: tuple[Array, ...]) -> tuple[Array, ...]:
        x, residual, direction, energy = state
        moved = jnp.einsum("bvw,bw->bv", system, direction)
        size = ratio(energy, (direction * moved).sum(1))
        x, residual = x + size * direction, residual - size * moved
        scaled = inverse_diagonal * residual
        new = (residual * scaled).sum(1)
        return x, residual, scaled + ratio(new, energy) * direction, new

    scaled = inverse_diagonal * right
    state = (jnp.zeros_like(right), right, scaled, (right * scaled).sum(1))
    return jax.lax.fori_loop(0, iterations, step, state)[0]
