"""8-bit integers for a dense layer's weights and for its inputs: the product is one of integers.

Static ranges (Jacob et al. 2018, arXiv:1712.05877, without zero points): of the inputs one scale
for the layer, known before it runs, so that no answer waits for its largest number.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, BFloat16, Float, Int8

from podway.framework.formats import int8, matrix, steps
from podway.framework.formats.int8 import LARGEST, Int8Kernel
from podway.framework.formats.layers import LayerKernel
from podway.framework.formats.matrix import register


@register
@dataclasses.dataclass(frozen=True)
class W8A8Kernel(Int8Kernel, LayerKernel):
    """An Int8Kernel, and the scale of the inputs of its layer.

    As an array it is its weights. As a layer it rounds its inputs to int8, those beyond the range
    to the nearest end, multiplies int8 by int8 with sums in int32, and scales these.
    """

    name = "w8a8"

    values: Int8[Array, "*stack inputs outputs"]
    scale: BFloat16[Array, "*stack 1 outputs"]
    input_scale: BFloat16[Array, "*stack 1 1"]

    def part(self, first: jax.Array | int, size: int) -> Self:
        """Consecutive rows of a kernel of two dimensions."""
        values = jax.lax.dynamic_slice_in_dim(self.values, first, size)
        return type(self)(values, self.scale, self.input_scale)

    def layer(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """x · weights by integers. A row with what is not finite has no number in its answer."""
        scale = jnp.asarray(self.input_scale).astype(jnp.float32).reshape(())
        rounded = jnp.rint(steps.steps(x, scale, LARGEST)).astype(jnp.int8)
        sums = jnp.matmul(rounded, jnp.asarray(self.values), preferred_element_type=jnp.int32)
        factor = scale * jnp.asarray(self.scale).astype(jnp.float32)[0]
        # An integer cannot say that a number is none: without this a client would be told one.
        finite = jnp.isfinite(x).all(axis=-1, keepdims=True)
        return jnp.where(finite, sums.astype(jnp.float32) * factor, jnp.nan)


def quantize(
    kernel: Float[Array, "*stack inputs outputs"], reach: Float[Array, "*stack"]
) -> W8A8Kernel:
    """The nearest int8 columns, and a scale by which `reach` is the largest input that is told from
    a larger one."""
    stored = int8.quantize_kernel(kernel)
    scale = steps.scale(jnp.asarray(reach)[..., None, None], LARGEST, axis=(-2, -1))
    return W8A8Kernel(stored.values, stored.scale, scale.astype(jnp.bfloat16))


def weights_alone(parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """The parameters with the same kernels, whose layers do not round their inputs; None where
    there is no W8A8Kernel."""
    found = matrix.collect(parameters)
    ours = {path: each for path, each in found.items() if isinstance(each, W8A8Kernel)}
    if not ours:
        return None
    return matrix.spread(
        found | {path: Int8Kernel(each.values, each.scale) for path, each in ours.items()}
    )
