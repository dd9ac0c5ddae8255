"""Dense layers that compute with a kernel as it is stored, rather than widened to f32 before."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from podway.framework.formats import matrix
from podway.framework.formats.matrix import Matrix

M = TypeVar("M", bound=nnx.Module)


class LayerKernel(Matrix):
    """The base of the formats whose product with a layer's inputs is one of their own."""

    def layer(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """x · kernel, f32, of a kernel of two dimensions."""
        raise NotImplementedError


def widened(parameter: Any) -> Any:
    """A parameter as an array; a LayerKernel as it is, which is for a dense layer to read."""
    return parameter if isinstance(parameter, LayerKernel) else matrix.dense(parameter)


def attach(module: M) -> M:
    """The module, whose dense layers now compute with the LayerKernels among its parameters.

    Dense layers are those of nnx.Linear with JAX's own product. Whatever else has such a kernel is
    given it as an array. The module is changed, as modules exist only while a function is traced.
    """
    for _, each in list(nnx.iter_modules(module)):
        for name, variable in list(vars(each).items()):
            if not isinstance(variable, nnx.Variable):
                continue
            kernel = variable.get_value()
            if not isinstance(kernel, LayerKernel):
                continue
            if name == "kernel" and isinstance(each, nnx.Linear) and is_dense(each):
                each.dot_general, each.promote_dtype = _product, _promoted
            else:
                setattr(each, name, nnx.Param(kernel.dense()))
    return module


def is_dense(layer: nnx.Linear) -> bool:
    """Whether it has no product of its own."""
    return layer.dot_general in (jax.lax.dot_general, _product)


# What layers hold is compared with `==` where modules are split, so these are one function each.
def _product(x: Array, kernel: Any, dimensions: Any, **_: Any) -> Array:
    assert isinstance(kernel, LayerKernel), "its module was given to `attach` with another kernel"
    return kernel.layer(x)


def _promoted(arrays: Any, /, *, dtype: Any = None, inexact: bool = True) -> Any:
    """Inputs, kernel and bias, as nnx.Linear has them: the kernel stays."""
    x, kernel, bias = arrays
    return jnp.asarray(x, jnp.float32), kernel, bias
