"""The first parameters of a run, taken from another run (fine-tuning)."""

import dataclasses
import functools
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

from podway.framework import artifact, config, task
from podway.framework.embedding import table
from podway.framework.error import PodwayError, check
from podway.framework.runs import checkpoint, run
from podway.framework.schema.schema import Schema

T = TypeVar("T")


class WarmStartError(PodwayError, ValueError):
    """Parameters of another run that don't fit; the message lists each of them."""


def initializer(
    experiment: config.Experiment, schema: Schema, initialize: Callable[[], Any], state: Any
) -> Callable[[], Any]:
    """The same function () → State, with the parameters that another run ended with, if asked to.

    Args:
      experiment: its trainer.warm_start says which run, and how its parameters are called here.
      schema: of the dataset.
      initialize: () → State, sharded.
      state: shapes and shardings of the State.
    """
    options = experiment.trainer.warm_start
    if not options.run:
        return initialize

    def from_run() -> Any:
        theirs, ours = read(options), _learnt(state["parameters"])
        for step in experiment.compression[-1:]:
            added = jax.eval_shape(step.added, ours)
            ours = {p: each for p, each in step.handed_on(ours).items() if p not in added}
        model = task.of_kind(experiment.model, task.ParametricModel)
        grow = frozenset(model.embeddings(schema).values())
        found = fit(ours, _learnt(theirs.parameters), options, grow)
        tables = model.tables(schema)
        grown = fit_tables(tables, theirs.tables, options)
        new = initialize()
        for part in ("parameters", "ema"):
            for path in new.get(part, {}).keys() & found.keys():
                like, old = state[part][path], found[path]
                if old.shape != like.shape:
                    fill = jax.jit(_with_first_rows, out_shardings=like.sharding, donate_argnums=0)
                    new[part][path] = fill(new[part][path], old)
                    continue
                new[part][path] = jax.make_array_from_callback(
                    like.shape, like.sharding, lambda index, old=old: old[index], dtype=like.dtype
                )
        for path, (name, old) in grown.items():
            place = state["tables"][path].sharding
            rows = checkpoint.load_onto(theirs.checkpoints, theirs.step, {f"tables.{name}": place})
            take_over = functools.partial(table.grow, old, tables[path])
            new["tables"][path] = jax.jit(take_over, out_shardings=place, donate_argnums=1)(
                rows[f"tables.{name}"], new["tables"][path]
            )
        return new

    return from_run


def with_constants(
    initialize: Callable[[], Any], constants: Mapping[str, np.ndarray], state: Any
) -> Callable[[], Any]:
    """The same function () → State, with what the dataset says in the place of its constants.

    Raises ConfigError, when it is called, where `constants` are not those of the state.
    """
    places = {path: array for path, array in state["parameters"].items() if task.is_constant(path)}
    if not places and not constants:
        return initialize

    def filled() -> Any:
        for path in sorted({*places, *constants}):
            wanted, found = (
                f"{table[path].dtype}{list(table[path].shape)}" if path in table else "missing"
                for table in (places, constants)
            )
            check(
                wanted == found,
                f"the constant {path} is {found} in the dataset and {wanted} in the model",
            )
        new = initialize()
        for path, place in places.items():
            new["parameters"][path] = jax.make_array_from_callback(
                place.shape, place.sharding, lambda index, path=path: constants[path][index]
            )
        return new

    return filled


def _with_first_rows(new: jax.Array, old: np.ndarray) -> jax.Array:
    return new.at[: old.shape[0]].set(old.astype(new.dtype))


def _learnt(parameters: Mapping[str, T]) -> dict[str, T]:
    return {path: array for path, array in parameters.items() if not task.is_constant(path)}


@dataclasses.dataclass(frozen=True)
class Theirs:
    """What a run ended with, as it is called here.

    Attributes:
      parameters: by path, without the sparse tables.
      tables: path → (path there, table).
      checkpoints: the folder that they are in.
      step: the checkpoint.
    """

    parameters: dict[str, np.ndarray]
    tables: dict[str, tuple[str, table.Table]]
    checkpoints: str
    step: int


def read(options: config.WarmStart) -> Theirs:
    """What a committed run ended with. Raises ArtifactError, CheckpointError, WarmStartError."""
    manifest = artifact.read(options.run, "run")
    step = manifest.details["selected_step"] if options.step is None else options.step
    experiment, schema = run.described(options.run)
    tables = task.of_kind(experiment.model, task.ParametricModel).tables(schema)
    folder = f"{options.run}/checkpoints"
    parameters = checkpoint.load(folder, step, ("parameters.", "ema."))
    averaged = checkpoint.averaged(parameters)
    averaged = jax.device_get(config.finished(experiment.compression, averaged))
    return Theirs(
        _rename(averaged, options.rename),
        _rename({path: (path, table) for path, table in tables.items()}, options.rename),
        folder,
        step,
    )


def fit_tables(
    ours: Mapping[str, table.Table],
    theirs: Mapping[str, tuple[str, table.Table]],
    options: config.WarmStart,
) -> dict[str, tuple[str, table.Table]]:
    """Those of their sparse tables that are ours, too, with as many rows or fewer.

    A table that has more rows here keeps theirs: a dataset that was extended keeps its ids. Slots
    start anew. Raises WarmStartError.
    """
    found = {}
    for path, new in ours.items():
        name, old = theirs.get(path, ("", None))
        if old is None or (old.width, old.rows <= new.rows) != (new.width, True):
            there = f"{old.rows} × {old.width}" if old else "missing"
            text = f"  sparse table {path}: {there} there and {new.rows} × {new.width} here"
            if options.missing == "error":
                raise WarmStartError(f"{options.run} does not fit this model:\n{text}")
            print(text, flush=True)
            continue
        found[path] = name, old
        print(f"warm start: {path}, {old.rows} of {new.rows} rows from {options.run}", flush=True)
    return found


def fit(
    ours: Mapping[str, Any],
    theirs: Mapping[str, np.ndarray],
    options: config.WarmStart,
    grow: Collection[str] = (),
) -> dict[str, np.ndarray]:
    """Those of their parameters that are ours, too. Reports what was left out.

    Of the tables `grow`, which hold a row for each id, theirs may have fewer rows, which are ours'
    first ones: a dataset that was extended keeps its ids.

    Raises WarmStartError, with a line for each path that is missing, extra, or of another shape.
    """
    fitting = {
        path: theirs[path]
        for path in ours.keys() & theirs.keys()
        if theirs[path].shape == ours[path].shape
        or (path in grow and _is_smaller(theirs[path].shape, ours[path].shape))
    }
    lines = [each for each in _differences(ours, theirs) if each[1] not in fitting]
    wrong = [text for kind, _, text in lines if _is_error(kind, options)]
    if wrong:
        raise WarmStartError(
            f"{options.run} does not fit this model:\n"
            + "\n".join(wrong)
            + "\n(trainer.warm_start.rename maps names; trainer.warm_start.missing initialize and"
            " trainer.warm_start.extra ignore allow the others)"
        )
    print(f"warm start: {len(fitting)} of {len(ours)} parameters from {options.run}", flush=True)
    for _, _, text in lines:
        print(text, flush=True)
    for path, array in fitting.items():
        if len(array) < len(ours[path]):
            print(f"warm start: {path}, {len(array)} of {len(ours[path])} rows", flush=True)
    return fitting


def _is_smaller(theirs: Sequence[int], ours: Sequence[int]) -> bool:
    return theirs[0] < ours[0] and tuple(theirs[1:]) == tuple(ours[1:])


def _differences(
    ours: Mapping[str, Any], theirs: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, str, str]]:
    """(kind, path, text) of each."""
    for path in sorted({*ours, *theirs}):
        if path not in theirs:
            yield "missing", path, f"  missing there: {path} {tuple(ours[path].shape)}"
        elif path not in ours:
            yield "extra", path, f"  unknown here: {path} {theirs[path].shape}"
        elif theirs[path].shape != ours[path].shape:
            shapes = f"{theirs[path].shape} there and {tuple(ours[path].shape)} here"
            yield "missing", path, f"  another shape: {path} is {shapes}"


def _is_error(kind: str, options: config.WarmStart) -> bool:
    return options.missing == "error" if kind == "missing" else options.extra == "error"


def _rename(parameters: Mapping[str, T], rename: tuple[tuple[str, str], ...]) -> dict[str, T]:
    renamed: dict[str, T] = {}
    for path, array in parameters.items():
        new = _new_name(path, rename)
        if new in renamed:
            raise WarmStartError(
                f"trainer.warm_start.rename calls two parameters {new!r}; one is {path!r}"
            )
        renamed[new] = array
    return renamed


def _new_name(path: str, rename: tuple[tuple[str, str], ...]) -> str:
    for pattern, new in rename:
        if match := re.fullmatch(pattern, path):
            return match.expand(new)
    return path
