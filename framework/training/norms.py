"""Gradient statistics: norms of what a step computes, by group of parameters."""

from collections.abc import Mapping

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

CLIPPED = "gradient_clipped_percent"
"""0 or 100 in a step; a record has the mean over the steps since the last one."""
SPARSE = "sparse tables"
"""The group of all rows of sparse tables."""


def group(path: str) -> str:
    """Where a parameter counts: "blocks/0/qkv/kernel" in "blocks/0", "item/embedding" in "item".

    The beginning of its path up to the first number, or, where there is none, its first part.
    """
    parts = path.split("/")
    numbered = [at for at, part in enumerate(parts) if part.isdigit()]
    return "/".join(parts[: numbered[0] + 1 if numbered else 1])


def statistics(
    gradients: Mapping[str, Array],
    updates: Mapping[str, Array],
    parameters: Mapping[str, Array],
    norm: Float[Array, ""],
    limit: float | None,
    sparse: Float[Array, ""] | None,
) -> dict[str, Array]:
    """What is recorded of a step.

    gradient_norm/GROUP; update_ratio/GROUP, the norm of what is added to the parameters over theirs
    (some 10⁻³ where all is well); CLIPPED.

    Args:
      gradients: by path, before they are clipped.
      updates: what is added to the parameters.
      parameters: before that.
      norm: of all gradients.
      limit: their largest norm (trainer.clip_norm).
      sparse: squared norm of the gradients of sparse tables, where there are some.
    """
    groups: dict[str, list[str]] = {}
    for path in parameters:
        groups.setdefault(group(path), []).append(path)
    found = {CLIPPED: 100.0 * (norm > (jnp.inf if limit is None else limit))}
    for name, paths in groups.items():
        of_gradients, of_updates, of_parameters = (
            optax.tree.norm([each[path] for path in paths])
            for each in (gradients, updates, parameters)
        )
        found[f"gradient_norm/{name}"] = of_gradients
        found[f"update_ratio/{name}"] = of_updates / jnp.maximum(of_parameters, _SMALLEST)
    if sparse is not None:
        found[f"gradient_norm/{SPARSE}"] = jnp.sqrt(sparse)
    return found


_SMALLEST = 1e-12
"""Of a norm that is divided by."""
