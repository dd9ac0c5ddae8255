"""Single weights that become zero because training moves them there (Sanh et al. 2020,
arXiv:2005.07683)."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from podway.framework import config
from podway.framework.compression import weights
from podway.framework.compression.prune import Gradual, cubic, largest

SCORE = "score"
"""Below a weight's path, while the run trains, lie its scores."""


@dataclasses.dataclass(frozen=True)
class Movement(Gradual, config.Compression):
    """Each weight has a score, which falls as long as the loss wants the weight smaller; those of
    the smallest scores become zero, more of them from step to step.

    The gradient of a score is the masked weight's own times the weight, as if the mask let all
    through. What large weights learnt before counts for nothing: for models that learn from data
    other than they were trained on.
    """

    begin: float = 0.1
    """Share of the steps before the first weight becomes zero; scores must have moved."""

    def added(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """See config.Compression: the scores, zero at first."""
        return {
            f"{path}/{SCORE}": jnp.zeros(parameters[path].shape, parameters[path].dtype)
            for path in weights.chosen(parameters, self.paths)
        }

    def forward(self, parameters: Mapping[str, Any], progress: Any) -> dict[str, Any]:
        """See config.Compression. Without scores, in a later run, what is zero stays zero."""
        share = cubic(self.sparsity, self.begin, self.end, progress)
        scores = {path for path in parameters if path.endswith(f"/{SCORE}")}
        found = {path: each for path, each in parameters.items() if path not in scores}
        for path in weights.chosen(found, self.paths):
            weight = jnp.asarray(found[path])
            score = parameters.get(f"{path}/{SCORE}")
            if score is None:
                found[path] = jnp.where(largest(jnp.abs(weight), share), weight, 0)
                continue
            # The value is the mask, the gradient that of the score.
            through = score - jax.lax.stop_gradient(score)
            mask = largest(jax.lax.stop_gradient(score), share).astype(weight.dtype)
            found[path] = weight * (mask + through)
        return found
