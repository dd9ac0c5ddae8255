"""Raw events to a served, verified model. docs/python.md shows how to use this from Python.

Nothing is imported before it is used: neither JAX nor TensorFlow nor Beam.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from podway.launch.chain import Result, data, evaluate, experiment, run
    from podway.launch.loaded.engine import Filter
    from podway.launch.loaded.error import RequestError, UnknownValues
    from podway.launch.loaded.model import LoadedModel, load
    from podway.launch.loaded.recommendations import Recommendations, Recommended

__all__ = [
    "Filter",
    "LoadedModel",
    "Recommendations",
    "Recommended",
    "RequestError",
    "Result",
    "UnknownValues",
    "data",
    "evaluate",
    "experiment",
    "load",
    "run",
]

_MODULES = {
    **dict.fromkeys(("Result", "data", "evaluate", "experiment", "run"), "chain"),
    "Filter": "loaded.engine",
    **dict.fromkeys(("RequestError", "UnknownValues"), "loaded.error"),
    **dict.fromkeys(("LoadedModel", "load"), "loaded.model"),
    **dict.fromkeys(("Recommendations", "Recommended"), "loaded.recommendations"),
}
"""Name → the module of podway.launch that has it."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'podway' has no attribute {name!r}")
    return getattr(importlib.import_module(f"podway.launch.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
