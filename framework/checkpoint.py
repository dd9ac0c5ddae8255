"""Checkpoints: state, input position and experiment, saved and restored as one thing (Orbax).

The state is stored as a flat dict, path → array, so that a checkpoint outlives changes in how the
modules and the optimizer nest theirs. Saving is asynchronous; a checkpoint that was not finished
does not count.
"""

from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint.checkpoint_managers import preservation_policy as preservation

from framework import codec
from framework.error import PodwayError


class CheckpointError(PodwayError, ValueError):
    """A checkpoint that cannot be restored here; the message says why."""


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
      keep: latest checkpoints to keep, beside the best one.
      metric: name of the validation metric of which the largest is best.
    """

    def __init__(self, directory: epath.PathLike, experiment: Any, *, keep: int, metric: str):
        self._directory, self._experiment = _absolute(directory), experiment
        self._manager = ocp.CheckpointManager(
            self._directory,
            item_handlers=_handlers("state", "position", "experiment"),
            options=ocp.CheckpointManagerOptions(
                best_fn=lambda metrics: metrics[metric],
                preservation_policy=preservation.AnyPreservationPolicy(
                    [
                        preservation.LatestN(keep),
                        preservation.BestN(
                            get_metric_fn=lambda metrics: metrics[metric],
                            n=1,
                            keep_checkpoints_without_metrics=False,
                        ),
                    ]
                ),
            ),
        )

    def save(
        self, step: int, state: Any, position: int, metrics: dict[str, float] | None = None
    ) -> None:
        """Saves in the background; `position` is the number of examples consumed."""
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(flatten(state)),  # type: ignore[call-arg]
                position=ocp.args.JsonSave({"examples": position}),  # type: ignore[call-arg]
                experiment=ocp.args.JsonSave(self._experiment),  # type: ignore[call-arg]
            ),
            metrics=metrics,
            force=True,
        )

    def latest(self) -> int | None:
        """The last finished step, if any."""
        return self._manager.latest_step()

    def best(self) -> int | None:
        """The finished step with the best validation metric, if any was evaluated."""
        return self._manager.best_step()

    def metrics(self, step: int) -> dict[str, float]:
        """The validation metrics that were saved with a step."""
        return self._manager.metrics(step) or {}

    def restore(self, step: int, like: Any) -> tuple[Any, int]:
        """State and input position; `like` gives shapes, dtypes and shardings.

        Raises CheckpointError where the checkpoint is of another experiment or state.
        """
        theirs = self._manager.restore(
            step, args=ocp.args.Composite(experiment=ocp.args.JsonRestore())
        )["experiment"]
        place = self._directory / str(step)
        if found := codec.difference(self._experiment, theirs):
            raise CheckpointError(f"{place} is of another experiment: {found}")
        wanted = flatten(like)
        stored = self._manager.item_metadata(step)["state"].tree
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
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(wanted),  # type: ignore[call-arg]
                position=ocp.args.JsonRestore(),
            ),
        )
        return unflatten(restored["state"], like), restored["position"]["examples"]

    def wait(self) -> None:
        """Waits for saves under way."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits for saves under way, and ends."""
        self.wait()
        self._manager.close()


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


def load_parameters(directory: epath.PathLike, step: int) -> dict[str, np.ndarray]:
    """The parameters of a checkpoint, path → array, on one device whatever saved them."""
    with ocp.CheckpointManager(_absolute(directory), item_handlers=_handlers("state")) as manager:
        tree = manager.item_metadata(step)["state"].tree
        place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        like = {
            path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)
            for path, leaf in tree.items()
        }
        state = manager.restore(
            step,
            args=ocp.args.Composite(state=ocp.args.StandardRestore(like)),  # type: ignore[call-arg]
        )["state"]
    prefix = "parameters."
    return {
        path.removeprefix(prefix): np.asarray(array)
        for path, array in state.items()
        if path.startswith(prefix)
    }
