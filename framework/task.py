"""The protocols: what the trainer, the evaluation and the export ask of a model's dataclass.

Parameters travel as one flat dict, path → array ("blocks/0/attention/query/kernel"): sharding
rules match on the path, checkpoints survive changes of the module API, and the export stores them
as a list. NNX modules exist only while a function is traced. A module holds parameters and nothing
else; randomness comes in as an argument.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import (
    Any,
    Literal,
    NamedTuple,
    Protocol,
    TypeVar,
    cast,
    runtime_checkable,
)

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from podway.framework.devices import mesh
from podway.framework.embedding.lookup import Lookup, Rows
from podway.framework.embedding.table import Table
from podway.framework.heads import Objective
from podway.framework.input.dataset import Dataset
from podway.framework.metrics import top_k as ranking
from podway.framework.schema.schema import Schema

F = TypeVar("F", bound=Callable[..., Any])

Parameters = dict[str, Array]
Batch = Mapping[str, Array]


class Timed(NamedTuple):
    """Histories with their times: what a model that `reads_times` scores.

    Attributes:
      item: the histories, as Recommender.scores has them.
      time: of each item, whole seconds since its row's first (columns.elapsed); 0 where padded.
    """

    item: Int[Array, "batch length"]
    time: Int[Array, "batch length"]


@dataclasses.dataclass(frozen=True)
class Pass:
    """How a pass through a model runs.

    Attributes:
      key: for dropout; None: nothing is dropped, as the model is judged or served.
      remat: see config.Trainer.
      devices: that compute it together; None: the compiler knows.
      attention: see config.Trainer; what is served has no kernels of a vendor.
    """

    key: Array | None = None
    remat: Literal["none", "products", "blocks"] = "none"
    devices: jax.sharding.Mesh | None = None
    attention: Literal["auto", "xla", "cudnn"] = "xla"

    def keys(self, count: int) -> Sequence[Array | None]:
        """Keys for so many places, or as many None."""
        return [None] * count if self.key is None else list(jax.random.split(self.key, count))

    def split(self, x: Array) -> Array:
        """The same, its first dimension split among the devices as the batch is.

        Where parameters and batch are split along the same axis, the compiler may gather either:
        said of what the blocks return, it gathers parameters.
        """
        if self.devices is None:
            return x
        return jax.lax.with_sharding_constraint(x, mesh.batch_sharding(self.devices))

    def whole(self, x: Array) -> Array:
        """The same, all of it on each device: what belongs to no example and is small."""
        if self.devices is None:
            return x
        return jax.lax.with_sharding_constraint(x, mesh.replicated(self.devices))

    def block(self, function: F) -> F:
        """A block of the model, whose backward pass keeps what `remat` says.

        The function takes all that is random as arguments, and changes no module.
        """
        if self.remat == "none":
            return function
        policies = jax.checkpoint_policies
        keep = {
            "products": policies.dots_with_no_batch_dims_saveable,
            "blocks": policies.nothing_saveable,
        }
        return cast(F, jax.checkpoint(function, policy=keep[self.remat]))


SERVING = Pass()

CONSTANTS = "constants"
"""Part of the path of what a dataset says and training never changes (see `is_constant`)."""


class Constants(nnx.Module):
    """A place in a module for constants, to be called `constants` there; zeros at first."""

    def __init__(self, shapes: Mapping[str, jax.ShapeDtypeStruct]):
        for name, each in shapes.items():
            setattr(self, name, nnx.Param(jnp.zeros(each.shape, each.dtype)))

    def __getitem__(self, name: str) -> Array:
        return getattr(self, name).get_value()


def is_constant(path: str) -> bool:
    """Whether a parameter is a constant of the dataset: it lies below `constants/`.

    It is stored and exported with the others, in its own type, but has no gradient, no moments and
    no moving average. Another run's is never taken over.
    """
    return CONSTANTS in path.split("/")[:-1]


class Buildable(Protocol):
    """A model of which there are parameters: what a dataclass of config.Model offers.

    How it is judged, and so what else it offers, `config.Model.judge` says.
    """

    def build(self, schema: Schema, rngs: nnx.Rngs) -> nnx.Module:
        """The module with initialised parameters, sized by the schema."""
        ...


class Task(Buildable, Protocol):
    """A model that is trained by gradients, step by step."""

    def lengths(self, schema: Schema) -> dict[str, int]:
        """Columns of a training batch; for ragged ones the number of latest values to read."""
        ...

    def tables(self, schema: Schema) -> dict[str, Table]:
        """Parameters, by path, that are kept as sparse tables (framework/embedding/update.py).

        While it trains, the module's own parameter of that path is empty, [0, width].
        """
        ...

    def lookups(self, schema: Schema, batch: Batch, key: Array) -> dict[str, Lookup]:
        """The rows that `loss` wants of a batch, by name; `key` is for drawing some."""
        ...

    def constants(self, dataset: Dataset) -> dict[str, np.ndarray]:
        """Of each parameter that is a constant (see `is_constant`), what the dataset says it is.

        Shapes and types are those that `build` gave it, by the schema alone.
        """
        ...

    def loss(
        self, module: Any, batch: Batch, rows: Mapping[str, Rows], how: Pass
    ) -> tuple[Float[Array, ""], Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Mean loss (nats) of a training batch, its weight, and metrics to log.

        The weight is what the mean was divided by, say the number of positions: batches are joined
        in proportion to it. `rows` holds what `lookups` asked for. Blocks go through `how.block`.
        """
        ...


@runtime_checkable
class Recommender(Buildable, Protocol):
    """A model of a user's next item, trained or fitted."""

    def scores(
        self, module: Any, history: Int[Array, "batch length"], how: Pass = SERVING
    ) -> Float[Array, "batch rows"]:
        """Scores (f32) of each row of the item vocabulary as the next item.

        History is padded with PADDING at the end, oldest item first, of any length; a model that
        `reads_times` (config.Model) is given it as Timed.
        """
        ...


@runtime_checkable
class Fitted(Recommender, Protocol):
    """A model whose parameters are computed from the train split, without gradients or steps."""

    def fit(self, dataset: Dataset, seed: int) -> dict[str, np.ndarray]:
        """The parameters by path, as the module of `build` has them; `seed` is for drawing some."""
        ...


@runtime_checkable
class Factored(Recommender, Protocol):
    """A model whose scores are dot products of a vector of the history with one of each item."""

    def factors(
        self, module: Any, history: Int[Array, "batch length"], how: Pass = SERVING
    ) -> ranking.Factors:
        """What `scores` multiplies; both in f32 or bf16."""
        ...


@runtime_checkable
class Predictor(Task, Protocol):
    """A model of labels of rows."""

    @property
    def objectives(self) -> Sequence[Objective]:
        """The labels that are predicted, and what each of them is."""
        ...

    def predict(self, module: Any, batch: Batch, how: Pass = SERVING) -> dict[str, Array]:
        """Logits by label: f32 [batch], or [batch, classes].

        The batch has the columns of `lengths`, of which the labels are not read.
        """
        ...


def initialize(task: Buildable, schema: Schema, key: Array) -> Parameters:
    """Fresh parameters by path. Pure: jit it, with the shardings that they shall have."""
    _, state = nnx.split(task.build(schema, nnx.Rngs(key)))
    return {"/".join(map(str, path)): leaf.get_value() for path, leaf in nnx.to_flat_state(state)}


def structure(task: Buildable, schema: Schema) -> nnx.GraphDef:
    """The module without its parameters, for `merge`. Computes nothing."""
    return nnx.split(nnx.eval_shape(lambda: task.build(schema, nnx.Rngs(0))))[0]


def merge(graph: nnx.GraphDef, parameters: Parameters) -> Any:
    """The module with these parameters; for use inside traced functions."""
    return nnx.merge(
        graph,
        nnx.from_flat_state(
            [(_path(path), nnx.Param(parameters[path])) for path in sorted(parameters, key=_path)]
        ),
    )


def _path(text: str) -> tuple[str | int, ...]:
    return tuple(int(part) if part.isdigit() else part for part in text.split("/"))
