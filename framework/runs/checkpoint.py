"""Checkpoints: state, input position and experiment, saved and restored as one thing (Orbax).

The state is stored as a flat dict, path → array, so that a checkpoint outlives changes in how the
modules and the optimizer nest theirs. Saving is asynchronous: what was written is read back, and
then counts, and only then are older ones deleted.
"""

import contextlib
import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint.checkpoint_managers import preservation_policy as preservation

from podway.framework import codec, exit_codes
from podway.framework.error import PodwayError
from podway.framework.runs import bits

ITEMS = ("state", "position", "experiment")
"""What a checkpoint consists of."""
ASIDE = "damaged-"
"""Begins the name of a checkpoint that could not be restored, and was set aside."""


class CheckpointError(PodwayError, ValueError):
    """A checkpoint that cannot be restored here; the message says why."""


class DamagedError(CheckpointError):
    """A checkpoint whose files are incomplete, or not what they were.

    Attributes:
      what: which, and how it shows.
    """

    def __init__(self, what: str):
        super().__init__(f"{what}; remove it, and training goes on from the one before it")
        self.what = what


class UnwrittenError(CheckpointError):
    """A checkpoint that was not there as it was saved, when it was read back; it does not count."""

    exit_code = exit_codes.CRASHED


def flatten(state: Any) -> dict[str, Any]:
    """A pytree as path → leaf."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def unflatten(flat: dict[str, Any], like: Any) -> Any:
    """The inverse of `flatten`, with the structure of `like`."""
    return jax.tree_util.tree_unflatten(
        jax.tree_util.tree_structure(like), [flat[path] for path in flatten(like)]
    )


class Checkpoints:
    """The checkpoints of one run.

    Args:
      directory: runs/NAME/RUN/checkpoints.
      experiment: the part of the experiment that shaped the state, as versioned JSON.
      keep: latest checkpoints to keep.
      metric: name of the validation metric by which a checkpoint is best.
      largest_is_best: whether its largest value is best, or its smallest.
      keep_best: best checkpoints to keep.
      keep_every: keep those whose step is a multiple of it; None: no others.
    """

    def __init__(
        self,
        directory: epath.PathLike,
        experiment: Any,
        *,
        keep: int,
        metric: str,
        largest_is_best: bool = True,
        keep_best: int = 1,
        keep_every: int | None = None,
    ):
        self._directory, self._experiment = _absolute(directory), experiment
        sign = 1.0 if largest_is_best else -1.0

        def goodness(metrics: Mapping[str, float]) -> float:
            value = metrics.get(metric)
            # What is not a number is never best; Orbax compares, and nan would stay where it is.
            return sign * value if value is not None and math.isfinite(value) else -math.inf

        self._goodness = goodness
        self._under_way: tuple[int, dict[str, int]] = (0, {})
        self._hurry = False
        self._manager = ocp.CheckpointManager(
            self._directory,
            item_handlers=_handlers(*ITEMS),
            options=ocp.CheckpointManagerOptions(
                best_fn=goodness,
                async_options=ocp.AsyncOptions(post_finalization_callback=self._read_back),
                preservation_policy=preservation.AnyPreservationPolicy(
                    [
                        preservation.LatestN(keep),
                        preservation.BestN(
                            get_metric_fn=goodness,
                            n=keep_best,
                            keep_checkpoints_without_metrics=False,
                        ),
                        *([preservation.EveryNSteps(keep_every)] if keep_every else []),
                        _AllWhere(lambda: self._hurry),
                    ]
                ),
            ),
        )

    def save(
        self,
        step: int,
        state: Any,
        position: int,
        metrics: dict[str, float] | None = None,
        *,
        hurry: bool = False,
    ) -> None:
        """Saves in the background.

        Args:
          step: of the state.
          state: to be saved.
          position: number of examples consumed.
          metrics: of the validation at this step. What is not a finite number is stored as null,
            and makes no checkpoint the best one.
          hurry: the process is to end, and may have seconds: it is not read back, which the next
            one does, and nothing is deleted.
        """
        if metrics is not None:
            metrics = json.loads(codec.json_text(metrics))
        arrays = flatten(state)
        found = bits.sums({**arrays, "examples": np.int64(position)})
        where = {"examples": position, "bits": found}
        self._manager.wait_until_finished()
        self._under_way = step, {path: found[path] for path in arrays}
        self._hurry = hurry
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(arrays),  # type: ignore[call-arg]
                position=ocp.args.JsonSave(where),  # type: ignore[call-arg]
                experiment=ocp.args.JsonSave(self._experiment),  # type: ignore[call-arg]
            ),
            metrics=metrics,
            force=True,
        )

    def _read_back(self) -> None:
        """In the background, by the first process, before Orbax lets a checkpoint count."""
        if self._hurry:
            return
        step, saved = self._under_way
        written = self._directory / f"{step}.orbax-checkpoint-tmp"
        place = written if written.exists() else self._directory / str(step)
        try:
            with _damaged(place):
                found = bits.sums_in_files(place / "state", saved)
            _compare_bits(place, found, saved)
        except DamagedError as error:
            raise UnwrittenError(
                f"{error.what}, right after it was written; it does not count, and the same"
                " command goes on from the one before it"
            ) from error

    def latest(self) -> int | None:
        """The last finished step, if any."""
        return self._manager.latest_step()

    def set_aside(self, step: int) -> epath.Path:
        """Keeps a checkpoint that is damaged out of the way of others; returns where it lies now.

        Only for a run that one process trains.
        """
        place = self._directory / str(step)
        aside = self._directory / f"{ASIDE}{step}"
        if aside.exists():
            aside.rmtree()
        place.rename(aside)
        self._manager.reload()
        return aside

    def best(self) -> int | None:
        """The finished step with the best validation metric, if any has a finite one."""
        best = self._manager.best_step()
        judged = best is not None and math.isfinite(self._goodness(self.metrics(best)))
        return best if judged else None

    def metrics(self, step: int) -> dict[str, float]:
        """The validation metrics that were saved with a step."""
        return self._manager.metrics(step) or {}

    def restore(self, step: int, like: Any) -> tuple[Any, int]:
        """State and input position; `like` gives shapes, dtypes and shardings.

        Raises CheckpointError where the checkpoint is of another experiment or state; DamagedError
        where it is incomplete, or a bit of the state is other than when it was saved.
        """
        place = self._directory / str(step)
        args = ocp.args.Composite(experiment=ocp.args.JsonRestore())
        theirs = self._read(step, args)["experiment"]
        if found := codec.difference(self._experiment, theirs):
            raise CheckpointError(f"{place} is of another experiment: {found}")
        wanted = flatten(like)
        _check_fit(place, wanted, self._stored(step))
        args = ocp.args.Composite(
            state=ocp.args.StandardRestore(wanted),  # type: ignore[call-arg]
            position=ocp.args.JsonRestore(),
        )
        restored = self._read(step, args)
        position = restored["position"]
        saved, examples = position.get("bits", {}), position["examples"]
        read = {**restored["state"], "examples": np.int64(examples)}
        _compare_bits(place, bits.sums({path: read[path] for path in saved if path in read}), saved)
        return unflatten(restored["state"], like), examples

    def _read(self, step: int, args: ocp.args.Composite) -> Any:
        with _damaged(self._directory / str(step)):
            return self._manager.restore(step, args=args)

    def _stored(self, step: int) -> dict[str, Any]:
        with _damaged(self._directory / str(step)):
            return self._manager.item_metadata(step)["state"].tree

    def wait(self) -> None:
        """Waits for saves under way."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits for saves under way, and ends."""
        self.wait()
        self._manager.close()


@dataclasses.dataclass
class _AllWhere(preservation.PreservationPolicy):
    """All are kept where `holds`."""

    holds: Callable[[], bool]

    def should_preserve(
        self, checkpoints: Sequence[Any], *, context: preservation.PreservationContext
    ) -> Sequence[bool]:
        return [self.holds()] * len(checkpoints)


def _absolute(directory: epath.PathLike) -> epath.Path:
    """Orbax takes absolute paths only; a bucket's URL is one, though `resolve` would mangle it."""
    path = epath.Path(directory)
    return path if "://" in str(path) else path.resolve()


def _handlers(*items: str) -> dict[str, Any]:
    """Named up front, so that a checkpoint's metadata can be read before anything is restored."""
    return {
        item: ocp.StandardCheckpointHandler() if item == "state" else ocp.JsonCheckpointHandler()
        for item in items
    }


@contextlib.contextmanager
def _damaged(place: epath.Path) -> Iterator[None]:
    """Turns what Orbax and TensorStore say of a checkpoint that cannot be read into one sentence.

    They raise ValueError, KeyError, OSError and others, for one and the same missing file.
    """
    try:
        yield
    except Exception as error:
        first = str(error).strip().partition("\n")[0][:300]
        raise DamagedError(
            f"{place} is incomplete or damaged ({type(error).__name__}: {first})"
        ) from error


def _compare_bits(place: epath.Path, found: Mapping[str, int], saved: Mapping[str, int]) -> None:
    """Raises DamagedError where the bits are others than those that were saved."""
    if other := [path for path, each in found.items() if each != saved[path]]:
        raise DamagedError(
            f"{place} is damaged: {', '.join(other[:3])} came back with other bits than were saved"
        )


def _check_fit(place: epath.Path, wanted: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """Raises CheckpointError unless the arrays of a checkpoint are those that are wanted."""
    problems = [
        *(f"lacks {path}" for path in sorted(set(wanted) - set(stored))),
        *(f"has {path}, which is unknown here" for path in sorted(set(stored) - set(wanted))),
        *(
            f"has {path} {tuple(stored[path].shape)}, not {wanted[path].shape}"
            for path in sorted(set(stored) & set(wanted))
            if tuple(stored[path].shape) != tuple(wanted[path].shape)
        ),
    ]
    if problems:
        raise CheckpointError(f"{place} does not fit: it {'; it '.join(problems[:5])}")


def restore_from(directory: epath.PathLike, step: int, like: Any) -> Any:
    """The whole state of a checkpoint of another run; `like` gives shapes, dtypes and shardings.

    Raises CheckpointError where it is of another state, or damaged.
    """
    wanted = flatten(like)
    _check_fit(epath.Path(directory) / str(step), wanted, stored(directory, step))
    places = {path: leaf.sharding for path, leaf in wanted.items()}
    return unflatten(load_onto(directory, step, places), like)


def metrics_of(directory: epath.PathLike, step: int) -> dict[str, Any]:
    """The validation metrics that were saved with a checkpoint; None where one was not finite."""
    file = epath.Path(directory) / str(step) / "metrics" / "metrics"
    return json.loads(file.read_text()) if file.exists() else {}


def load(directory: epath.PathLike, step: int, prefixes: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint whose path starts with one of `prefixes`, in the host's memory.

    No accelerator holds any of it, and the others are not read. Raises CheckpointError.
    """
    shapes = stored(directory, step)
    wanted = {path: leaf for path, leaf in shapes.items() if path.startswith(tuple(prefixes))}
    return _load(directory, step, wanted, dict.fromkeys(wanted, _ON_HOST))


def load_onto(
    directory: epath.PathLike, step: int, places: Mapping[str, jax.sharding.Sharding]
) -> dict[str, jax.Array]:
    """Arrays of a checkpoint, by path, on the devices. Raises CheckpointError."""
    shapes = stored(directory, step)
    if missing := sorted(places.keys() - shapes.keys()):
        raise CheckpointError(f"{directory}/{step} lacks {', '.join(missing)}")
    how = {path: ocp.ArrayRestoreArgs(sharding=place) for path, place in places.items()}
    return _load(directory, step, {path: shapes[path] for path in places}, how)


def stored(directory: epath.PathLike, step: int) -> dict[str, Any]:
    """Shape and dtype of each array of a checkpoint, by path. Raises CheckpointError."""
    with _reading(directory, step) as manager:
        return dict(manager.item_metadata(step)["state"].tree)


def _load(directory: epath.PathLike, step: int, wanted: Any, how: Any) -> dict[str, Any]:
    args = ocp.args.PyTreeRestore(item=wanted, restore_args=how, partial_restore=True)  # type: ignore[call-arg]
    with _reading(directory, step) as manager:
        return dict(manager.restore(step, args=ocp.args.Composite(state=args))["state"])


_ON_HOST = ocp.RestoreArgs(restore_type=np.ndarray)


@contextlib.contextmanager
def _reading(directory: epath.PathLike, step: int) -> Iterator[ocp.CheckpointManager]:
    path = _absolute(directory)
    handlers = {"state": ocp.PyTreeCheckpointHandler()}
    options = ocp.CheckpointManagerOptions(read_only=True)
    with (
        _damaged(path / str(step)),
        ocp.CheckpointManager(path, item_handlers=handlers, options=options) as manager,
    ):
        yield manager


def load_parameters(directory: epath.PathLike, step: int) -> dict[str, np.ndarray]:
    """The parameters of a checkpoint to evaluate and to export, path → array (NumPy).

    Their moving average where there is one, and sparse tables as they are stored. Raises
    CheckpointError.
    """
    return averaged(load(directory, step, ("parameters.", "tables.", "ema.")))


def averaged(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """{"parameters.PATH": …, "ema.PATH": …} → {PATH: …}, the average where there is one."""
    return {
        path.partition(".")[2]: arrays[path]
        for path in sorted(arrays, key=lambda path: path.startswith("ema."))
    }
