"""Model FLOPs, counted in the traced program."""

import math
from typing import Any

from jax.extend import core


def count(jaxpr: core.Jaxpr) -> float:
    """FLOPs of all matrix products in a program: 2·b·m·n·k for each dot_general.

    A scan's body counts once per iteration (XLA's own cost analysis counts it once in all), the
    costliest branch of a conditional counts, and a while loop's body counts once, as nobody knows
    how often it runs. Element-wise work is left out, as is usual for MFU (Chowdhery et al. 2022,
    arXiv:2204.02311, appendix B).
    """
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            depth = math.prod(_shape(equation.invars[0])[axis] for axis in contracted)
            total += 2.0 * depth * math.prod(_shape(equation.outvars[0]))
            continue
        inner = [count(each) for value in equation.params.values() for each in _programs(value)]
        if equation.primitive.name == "cond":
            total += max(inner)
        else:
            total += sum(inner) * equation.params.get("length", 1)
    return total


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape


def _programs(value: Any) -> list[core.Jaxpr]:
    if isinstance(value, core.ClosedJaxpr):
        return [value.jaxpr]
    if isinstance(value, core.Jaxpr):
        return [value]
    if isinstance(value, tuple | list):
        return [each for item in value for each in _programs(item)]
    return []
