"""The model contract: what the trainer, the evaluation and the export ask of a model's dataclass.

A model is a config part (config.Model) that derives from what it is: TrainedModel, FittedModel or
LabelModel, and Recommender. It says which embeddings it reads (`embeddings`), the framework reads
them (`rows`), and its heads, `loss`, `scores` or `predict`, go on from there: one way through the
model, whether it trains, is evaluated or serves.

Parameters travel as one flat dict, path → array ("blocks/0/attention/query/kernel"): sharding
rules match on the path, checkpoints survive changes of the module API, and the export stores them
as a list. NNX modules exist only while a function is traced. A module holds parameters and nothing
else; randomness comes in as an argument.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import (
    Any,
    Literal,
    Protocol,
    Self,
    TypeVar,
    cast,
    runtime_checkable,
)

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from podway.framework import config
from podway.framework.devices import mesh
from podway.framework.embedding.lookup import EmbeddedRows, Lookup
from podway.framework.embedding.table import Embedding, Table
from podway.framework.error import ConfigError, check
from podway.framework.formats import layers, matrix
from podway.framework.heads import Head
from podway.framework.input.dataset import Dataset
from podway.framework.input.interactions import label_counts
from podway.framework.metrics import top_k
from podway.framework.schema.schema import EVENT_WEIGHT, Schema

F = TypeVar("F", bound=Callable[..., Any])

Parameters = dict[str, Array]
Batch = Mapping[str, Array]
Loss = tuple[Float[Array, ""], Float[Array, ""], dict[str, Float[Array, ""]]]
"""Mean loss (nats), its weight, and metrics to log. The weight is what the mean was divided by, say
the number of positions: batches are joined in proportion to it."""


@dataclasses.dataclass(frozen=True)
class ForwardContext:
    """How a pass through a model runs.

    Attributes:
      key: for dropout; None: nothing is dropped, as the model is evaluated or served.
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


SERVING = ForwardContext()

CONSTANTS = "constants"
"""Part of the path of what a dataset says and training never changes (see `is_constant`)."""


class Constants(nnx.Module):
    """A place in a module for constants, to be called `constants` there; zeros at first."""

    def __init__(self, shapes: Mapping[str, jax.ShapeDtypeStruct]):
        for name, struct in shapes.items():
            setattr(self, name, nnx.Param(jnp.zeros(struct.shape, struct.dtype)))

    def __getitem__(self, name: str) -> Array:
        return getattr(self, name).get_value()


def is_constant(path: str) -> bool:
    """Whether a parameter is a constant of the dataset: it lies below `constants/`.

    It is stored and exported with the others, in its own type, but has no gradient, no moments and
    no moving average. Another run's is never taken over.
    """
    return CONSTANTS in path.split("/")[:-1]


@dataclasses.dataclass(frozen=True)
class ParametricModel(config.Model):
    """A model of which there are parameters, however they are found: the base of all others."""

    def build(self, schema: Schema, rngs: nnx.Rngs) -> nnx.Module:
        """The module with initialised parameters, sized by the schema."""
        raise NotImplementedError

    def embeddings(self, schema: Schema) -> Mapping[str, str]:
        """Columns of ids whose embeddings are read → paths of these tables, [rows, width].

        The framework reads them: `rows` of these names has what the ids of a batch found, while the
        model trains, is evaluated and serves.
        """
        return {}

    def sparse(self, schema: Schema) -> Mapping[str, Embedding]:
        """Paths of tables that are kept as sparse ones (framework/embedding/update.py).

        While it trains, the module's own parameter of that path is empty, [0, width].
        """
        return {}

    def tables(self, schema: Schema) -> dict[str, Table]:
        """The sparse tables by path."""
        if not (chosen := self.sparse(schema)):
            return {}
        shapes = jax.eval_shape(lambda: initialize(self, schema, jax.random.key(0)))
        for path in chosen:
            check(path in shapes, f"the sparse table {path} is no parameter of the model's module")
        return {
            path: Table(shapes[path].shape[0], shapes[path].shape[1], options)
            for path, options in chosen.items()
        }

    def in_formats(self, schema: Schema) -> Collection[str]:
        """Paths of what the module reads by framework/formats alone; all else is made dense."""
        return ()

    def reads(self, schema: Schema, batch: Batch) -> Batch:
        """What the model reads of a batch that is to be answered: all of it."""
        return batch


@dataclasses.dataclass(frozen=True)
class TrainedModel(ParametricModel):
    """A model that is trained by gradients, step by step."""

    def lengths(self, schema: Schema) -> dict[str, int]:
        """Columns of a training batch; for ragged ones the number of latest values to read."""
        raise NotImplementedError

    def packs(self) -> bool:
        """Whether `loss` tells apart several histories in a row (trainer.pack)."""
        return False

    def lookups(self, schema: Schema, batch: Batch, key: Array) -> dict[str, Lookup]:
        """The rows that `loss` wants of a batch, by name; `key` is for drawing some.

        Those of `embeddings`; only who draws items adds others.
        """
        return {name: Lookup(path, batch[name]) for name, path in self.embeddings(schema).items()}

    def prepared(self, dataset: Dataset | None) -> Self:
        """The model with what its loss takes from the dataset; None: with any numbers, for a
        program that is not run. Raises ConfigError where the dataset does not fit."""
        return self

    def constants(self, dataset: Dataset) -> dict[str, np.ndarray]:
        """Of each parameter that is a constant (see `is_constant`), what the dataset says it is.

        Shapes and types are those that `build` gave it, by the schema alone.
        """
        return {}

    def loss(
        self, module: Any, batch: Batch, rows: Mapping[str, EmbeddedRows], context: ForwardContext
    ) -> Loss:
        """The mean loss of a training batch; `rows` holds what `lookups` asked for.

        Blocks go through `context.block`.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Recommender(ParametricModel):
    """A model of a user's next item, trained or fitted."""

    def scores(
        self,
        module: Any,
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> Float[Array, "batch rows"]:
        """Scores (f32) of each row of the item vocabulary as the next item.

        The batch is what `reads` made of "item", i32 [batch, length], histories padded with PADDING
        at the end, oldest item first, of any length. A model that `reads_times` is given "time"
        too: of each item, whole seconds since its row's first (columns.elapsed); 0 where padded.
        """
        raise NotImplementedError


@runtime_checkable
class Factored(Protocol):
    """A recommender whose scores are dot products of a vector of the history with the items'."""

    def factors(
        self,
        module: Any,
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> top_k.Factors:
        """What `scores` multiplies; both in f32 or bf16."""
        ...


@dataclasses.dataclass(frozen=True)
class FittedModel(Recommender):
    """A model whose parameters are computed from the train split, without gradients or steps."""

    def fit(self, dataset: Dataset, seed: int) -> dict[str, np.ndarray]:
        """The parameters by path, as the module of `build` has them; `seed` is for drawing some."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class LabelModel(TrainedModel):
    """A model of labels of rows: `predict` says all, and the loss follows from it."""

    objectives: tuple[Head, ...] = ()
    """The labels to predict; the loss of the first one selects the best checkpoint."""

    def __post_init__(self):
        check(bool(self.objectives), "model.objectives is empty; name a label to predict")
        labels = [head.label for head in self.objectives]
        check(len(set(labels)) == len(labels), f"model.objectives names a label twice: {labels}")

    @property
    def outputs(self) -> int:
        """Logits per row, of all labels."""
        return sum(head.outputs for head in self.objectives)

    def label_lengths(self, schema: Schema) -> dict[str, int]:
        """The labels' part of `lengths`, and the rows' weights, if any.

        Raises ConfigError where the dataset lacks a label.
        """
        labels = [feature.name for feature in schema.features if feature.role == "label"]
        for head in self.objectives:
            check(
                head.label in labels,
                f"model.objectives names {head.label!r}, which is no label of the dataset; it has"
                f" {labels or 'none: add a Label to data.features'}",
            )
        weights = [EVENT_WEIGHT] if schema.has(EVENT_WEIGHT) else []
        return dict.fromkeys([*(head.label for head in self.objectives), *weights], 1)

    def prepared(self, dataset: Dataset | None) -> Self:
        """With objectives that know the train split's labels, where they ask for them."""
        asking = [head for head in self.objectives if head.asks_counts]
        if not asking:
            return self
        counts: dict[str, np.ndarray] = {}
        if dataset is not None:
            self.label_lengths(dataset.schema)
            counts = label_counts(dataset, {head.label: head.count for head in asking})
        heads = [head.prepared(counts.get(head.label)) for head in self.objectives]
        return dataclasses.replace(self, objectives=tuple(heads))

    def predict(
        self,
        module: Any,
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> dict[str, Array]:
        """Logits by label: f32 [batch], or [batch, classes].

        The batch has the columns of `lengths`, of which labels and weights are not read.
        """
        raise NotImplementedError

    def loss(
        self, module: Any, batch: Batch, rows: Mapping[str, EmbeddedRows], context: ForwardContext
    ) -> Loss:
        """The labels' losses, each a mean by the rows' weights; weighted and added up."""
        logits, weights = self.predict(module, batch, rows, context), batch.get(EVENT_WEIGHT)
        losses = {
            head.label: _mean(head.loss(logits[head.label], batch[head.label]), weights)
            for head in self.objectives
        }
        total = sum((head.weight * losses[head.label] for head in self.objectives), jnp.zeros(()))
        count = jnp.float32(batch[self.objectives[0].label].shape[0])
        count = count if weights is None else weights.sum()
        return total, count, {f"{label}_loss": loss for label, loss in losses.items()}


def _mean(terms: Float[Array, " batch"], weights: Array | None) -> Float[Array, ""]:
    if weights is None:
        return terms.mean()
    total = weights.sum()
    return jnp.where(weights > 0, terms * weights, 0.0).sum() / jnp.where(total > 0, total, 1.0)


M = TypeVar("M")


def of_kind(model: config.Model, kind: type[M]) -> M:
    """The model, which is of this kind. Raises ConfigError where it is not."""
    if not isinstance(model, kind):
        raise ConfigError(
            f"{type(model).__name__} is no {kind.__name__}: a model derives from what it is"
            " (framework/task.py)"
        )
    return model


HeadFunction = Callable[[Any, Batch, Mapping[str, EmbeddedRows], ForwardContext], Any]
"""(module, batch, rows, context) → what a model says: its `scores`, `factors` or `predict`."""

Inference = Callable[[Parameters, Batch, ForwardContext], Any]
"""(parameters, batch, context) → what a model says; pure, for use inside traced functions."""


def inference(model: ParametricModel, schema: Schema, head: HeadFunction) -> Inference:
    """What evaluation and serving compute: the embeddings are read as in training, then `head`.

    Parameters may be in formats of fewer bytes (framework/formats/).
    """
    graph, paths = structure(model, schema), model.embeddings(schema)
    kept = frozenset(model.in_formats(schema))

    def answer(parameters: Parameters, batch: Batch, context: ForwardContext = SERVING) -> Any:
        read, found = model.reads(schema, batch), matrix.collect(parameters)
        rows = {
            name: EmbeddedRows(matrix.rows(found[path], read[name]), read[name])
            for name, path in paths.items()
        }
        whole = {path: x if path in kept else layers.widened(x) for path, x in found.items()}
        return head(layers.attach(merge(graph, whole)), read, rows, context)

    return answer


def initialize(model: ParametricModel, schema: Schema, key: Array) -> Parameters:
    """Fresh parameters by path. Pure: jit it, with the shardings that they shall have."""
    _, state = nnx.split(model.build(schema, nnx.Rngs(key)))
    return {"/".join(map(str, path)): leaf.get_value() for path, leaf in nnx.to_flat_state(state)}


def structure(model: ParametricModel, schema: Schema) -> nnx.GraphDef:
    """The module without its parameters, for `merge`. Computes nothing."""
    return nnx.split(nnx.eval_shape(lambda: model.build(schema, nnx.Rngs(0))))[0]


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
