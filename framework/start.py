"""The first parameters of a run, taken from another run (fine-tuning)."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from framework import artifact, checkpoint, config
from framework.error import PodwayError


class StartError(PodwayError, ValueError):
    """Parameters of another run that don't fit; the message lists each of them."""


def initializer(
    initialize: Callable[[], Any], options: config.Start, state: Any
) -> Callable[[], Any]:
    """The same function () → State, with the parameters that another run ended with, if asked to.

    Args:
      initialize: () → State, sharded.
      options: which run, and how its parameters are called here.
      state: shapes and shardings of the State.
    """
    if not options.run:
        return initialize

    def from_run() -> Any:
        theirs = _rename(read(options), options.rename)
        found = fit(state["parameters"], theirs, options)
        new = initialize()
        for part in ("parameters", "ema"):
            for path in new.get(part, {}).keys() & found.keys():
                like = state[part][path]
                new[part][path] = jax.make_array_from_callback(
                    like.shape,
                    like.sharding,
                    lambda index, path=path: found[path][index],
                    dtype=like.dtype,
                )
        return new

    return from_run


def read(options: config.Start) -> dict[str, np.ndarray]:
    """The parameters of a committed run, by path. Raises ArtifactError, CheckpointError."""
    manifest = artifact.read(options.run, "run")
    step = manifest.details["selected_step"] if options.step is None else options.step
    return checkpoint.load_parameters(f"{options.run}/checkpoints", step)


def fit(
    ours: Mapping[str, Any], theirs: Mapping[str, np.ndarray], options: config.Start
) -> dict[str, np.ndarray]:
    """Those of their parameters that are ours, too. Reports what was left out.

    Raises StartError, with a line for each path that is missing, extra, or of another shape.
    """
    fitting = {
        path: theirs[path]
        for path in ours.keys() & theirs.keys()
        if theirs[path].shape == ours[path].shape
    }
    lines = list(_differences(ours, theirs))
    wrong = [text for kind, text in lines if _is_error(kind, options)]
    if wrong:
        raise StartError(
            f"{options.run} does not fit this model:\n"
            + "\n".join(wrong)
            + "\n(trainer.start.rename maps names; trainer.start.missing initialize and"
            " trainer.start.extra ignore allow the others)"
        )
    print(f"start: {len(fitting)} of {len(ours)} parameters from {options.run}", flush=True)
    for _, text in lines:
        print(text, flush=True)
    return fitting


def _differences(
    ours: Mapping[str, Any], theirs: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, str]]:
    for path in sorted({*ours, *theirs}):
        if path not in theirs:
            yield "missing", f"  missing there: {path} {tuple(ours[path].shape)}"
        elif path not in ours:
            yield "extra", f"  unknown here: {path} {theirs[path].shape}"
        elif theirs[path].shape != ours[path].shape:
            shapes = f"{theirs[path].shape} there and {tuple(ours[path].shape)} here"
            yield "missing", f"  another shape: {path} is {shapes}"


def _is_error(kind: str, options: config.Start) -> bool:
    return options.missing == "error" if kind == "missing" else options.extra == "error"


def _rename(
    parameters: Mapping[str, np.ndarray], rename: tuple[tuple[str, str], ...]
) -> dict[str, np.ndarray]:
    renamed: dict[str, np.ndarray] = {}
    for path, array in parameters.items():
        new = _new_name(path, rename)
        if new in renamed:
            raise StartError(f"trainer.start.rename calls two parameters {new!r}; one is {path!r}")
        renamed[new] = array
    return renamed


def _new_name(path: str, rename: tuple[tuple[str, str], ...]) -> str:
    for pattern, new in rename:
        if match := re.fullmatch(pattern, path):
            return match.expand(new)
    return path
