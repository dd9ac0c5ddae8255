"""The models that are held beside each other: simple ones, the config's own, and its relatives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Literal

from podway.framework import config, task
from podway.framework.compression.quantize import Int4, Int8
from podway.framework.config import Experiment, Model
from podway.framework.error import ConfigError
from podway.framework.input.dataset import Dataset
from podway.framework.models.bert4rec import Bert4Rec
from podway.framework.models.dcn import Dcn
from podway.framework.models.dlrm import Dlrm
from podway.framework.models.ease import Ease
from podway.framework.models.hstu import Hstu
from podway.framework.models.item_knn import ItemKnn
from podway.framework.models.mmoe import Mmoe
from podway.framework.models.parts.row_model import RowModel
from podway.framework.models.popularity import Popularity
from podway.framework.models.sasrec import SasRec
from podway.framework.models.sequence_knn import SequenceKnn

Format = Literal["f32", "int8", "int4"]
FORMATS: dict[Format, tuple[config.Compression, ...]] = {
    "f32": (),
    "int8": (Int8(),),
    "int4": (Int4(),),
}
"""How the tables are stored: the steps that lead there."""
WIDTHS = (0.25, 0.5, 1, 2)
"""Times the config's own width."""
_SEQUENCES = (SasRec, Hstu, Bert4Rec)
_ROWS = (Dcn, Dlrm, Mmoe)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model that might be used.

    Attributes:
      family: name of its class.
      width: of its embeddings; None: it has none.
      format: of its tables.
      experiment: that makes it.
      simple: whether it is one of the models that are fitted at once.
    """

    family: str
    width: int | None
    format: Format
    experiment: Experiment
    simple: bool = False

    @property
    def name(self) -> str:
        """What it is called in tables."""
        parts = [self.family, *([str(self.width)] if self.width else [])]
        return " ".join(parts) + ("" if self.format == "f32" else f" {self.format}")


def of(experiment: Experiment, dataset: Dataset) -> list[Candidate]:
    """All of them: simple ones first, then by family and width."""
    found = [_simple(experiment, model) for model in _fitted(experiment, dataset)]
    for model in _models(experiment):
        for name, steps in FORMATS.items():
            trained = dataclasses.replace(experiment, model=model)
            try:
                made = config.compressed(trained, *steps)
            except ConfigError:  # the config's own steps leave no room for this one
                continue
            family, width = type(model).__name__, getattr(model, "width", None)
            found.append(Candidate(family, width, name, made))
    return found


def _simple(experiment: Experiment, model: Model) -> Candidate:
    name = f"{experiment.name}_{type(model).__name__.lower()}"
    made = dataclasses.replace(experiment, name=name, model=model, compression=(), mixture=())
    return Candidate(type(model).__name__, None, "f32", made, simple=True)


def _fitted(experiment: Experiment, dataset: Dataset) -> Iterator[Model]:
    if not isinstance(experiment.model, task.Recommender):
        return
    yield from (Popularity(), ItemKnn(), SequenceKnn())
    if dataset.schema["item"].size <= Ease().max_items:
        yield Ease()


def _models(experiment: Experiment) -> Iterator[Model]:
    """The config's own model at several widths, and its relatives at its own."""
    own = experiment.model
    if isinstance(own, task.FittedModel):
        return
    seen: list[Model] = []
    width = getattr(own, "width", None)
    for times in (1,) if width is None else WIDTHS:
        model = own if times == 1 else _changed(own, width=int((width or 0) * times))
        if model is not None and model not in seen:
            seen.append(model)
            yield model
    relatives = _SEQUENCES if isinstance(own, _SEQUENCES) else ()
    relatives = _ROWS if isinstance(own, RowModel) else relatives
    for family in relatives:
        if not isinstance(own, family) and (model := _as(family, own)) is not None:
            yield model


def _as(family: type[Model], own: Model) -> Model | None:
    """A model of another family, with what both have in common; None: it refuses that."""
    names = {field.name for field in dataclasses.fields(family)}
    common = {
        field.name: getattr(own, field.name)
        for field in dataclasses.fields(own)
        if field.name in names
    }
    return _try(lambda: family(**common))


def _changed(own: Model, **changes: int) -> Model | None:
    return _try(lambda: dataclasses.replace(own, **changes))


def _try(make: Callable[[], Model]) -> Model | None:
    try:
        return make()
    except ConfigError:  # heads that do not divide the width, say
        return None
