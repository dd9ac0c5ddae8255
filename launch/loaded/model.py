"""A loaded model: the object that `podway.load` returns."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from podway.framework.schema.schema import FIRST_VALUE
from podway.launch import console
from podway.launch.loaded import histories as asked
from podway.launch.loaded import place as places
from podway.launch.loaded import rows as raw_rows
from podway.launch.loaded.engine import NO_FILTER, Engine, Filter
from podway.launch.loaded.error import OtherCode, RequestError, UnknownValues, require
from podway.launch.loaded.histories import Histories
from podway.launch.loaded.labels import Predicting, PublishedLabels, TrainedLabels
from podway.launch.loaded.recommendations import Recommendations

if TYPE_CHECKING:
    from podway.framework.input.dataset import Dataset
    from podway.launch.loaded.trained import Trained
    from podway.launch.loaded.users import Users

History = Sequence[str | int]
"""Item ids as the raw data have them, oldest first."""


def load(
    what: str | os.PathLike[str],
    workdir: str | os.PathLike[str] = "workdir",
    *,
    version: int | None = None,
    run: str | None = None,
) -> LoadedModel:
    """Loads a published model, which TensorFlow then answers for, or a run, which JAX does.

    Both give the same answers.

    Args:
      what: the name of an experiment: its latest published version, or else its latest run. Or a
        folder: "w/models/NAME/3", "w/models/NAME" (the latest version), "w/runs/NAME/RUN", or
        "w/runs/NAME" (the latest run).
      workdir: where a name's models/ and runs/ lie.
      version: which published version of a name.
      run: which run of a name, or "latest", rather than what is published.

    Raises:
      RequestError: there is no such model; the message says what there is.
      ArtifactError: it is there, but not whole.

    Warns (OtherCode) of a run that other code made than is here now.
    """
    console.prepare_libraries()
    return LoadedModel(places.find(what, workdir, version=version, run=run))


class LoadedModel:
    """A run or a published model, ready to be asked. Made by `podway.load`.

    Attributes:
      place: what was loaded: kind ("run" or "model"), directory, name, workdir, manifest.
    """

    def __init__(self, place: places.Place):
        self.place = place
        self._recommender: Engine | None = None
        self._predictor: Predicting | None = None
        self._known_users: dict[bool, Users] = {}
        if place.kind == "run":
            self._load_run()
        elif "labels" in place.manifest.details:
            self._predictor = PublishedLabels(place.directory, place.manifest.details)
        else:
            from podway.launch.loaded.published import Published

            self._recommender = Published(place.directory, place.manifest.details)

    def __repr__(self) -> str:
        return f"<{self.place}>"

    @property
    def items(self) -> tuple[str, ...]:
        """The ids of its items, most frequent first; `scores` and `item_embeddings` have this
        order."""
        return self.engine.items.values[FIRST_VALUE:]

    @property
    def attributes(self) -> dict[str, np.ndarray]:
        """What the dataset keeps of its items as text (`keep` of a side table), by column, object
        [items], in the order of `items`; {} where it keeps nothing, or is not there."""
        return {name: texts[FIRST_VALUE:] for name, texts in self._attributes.items()}

    @property
    def users(self) -> tuple[str, ...]:
        """The ids of the users whose histories its dataset has."""
        return self.known_users().names

    def recommend(
        self,
        histories: Iterable[History] | None = None,
        *,
        users: Sequence[str | int] | None = None,
        times: Iterable[Sequence[int]] | None = None,
        k: int = 10,
        filter: Filter | Sequence[Filter] | None = None,
        targets: bool = False,
    ) -> Recommendations:
        """The k best items of each history, or of each user.

        Items of the history are left out where the model was made so (evaluation.exclude_seen).

        Args:
          histories: lists of item ids, oldest first.
          users: instead of histories, ids of users of the dataset: what is known of each before
            its test target, as the evaluation has it.
          times: of the histories' events, whole seconds since 1970, for a model that reads them.
          k: items of each list; fewer come back where fewer are left.
          filter: items to choose from and to leave out: one Filter for all, or one for each.
          targets: whether the users' test targets count as seen, too.

        Raises RequestError: an unknown user, a history that is empty or of unknown items alone, a
        k or a filter that the model cannot answer. Warns (UnknownValues) of some unknown items.
        """
        chosen = self._asked(histories, users, times, targets)
        return self.answer(chosen, k, self._filters(filter, len(chosen)))

    def answer(self, chosen: Histories, k: int, filters: Sequence[Filter] = ()) -> Recommendations:
        """`recommend` for histories that are ids already; nothing is said of unknown items."""
        engine = self.engine
        engine.check(k, filtered=bool(filters))
        found = engine.recommend(chosen, k, filters)
        attributes = {name: texts[found.ids] for name, texts in self._attributes.items()}
        return Recommendations(
            engine.items.texts(found.ids),
            found.scores,
            found.attributes if self._dataset is None else attributes,
            chosen.names,
            chosen.unknown,
        )

    def describe(self, item: int) -> tuple[str, ...]:
        """An item, by its number in the vocabulary, and what is kept of it, as text."""
        texts = [str(column[item]) for column in self._attributes.values()]
        return (self.engine.items.values[item] or "an item that the model lacks", *texts)

    def scores(
        self,
        histories: Iterable[History] | None = None,
        *,
        users: Sequence[str | int] | None = None,
        times: Iterable[Sequence[int]] | None = None,
        targets: bool = False,
    ) -> np.ndarray:
        """The score of every item, seen or not, f32 [histories, items], in the order of `items`.

        Arguments as in `recommend`. Computed by the run, which a published model must have beside
        it in its workdir.
        """
        return self.trained.scores(self._asked(histories, users, times, targets))

    def item_embeddings(self) -> np.ndarray:
        """The vector of every item, f32 [items, width], in the order of `items`.

        For models whose scores are products of these with the users'. Computed by the run, as
        `scores`.
        """
        return self.trained.item_embeddings()

    def user_embeddings(
        self,
        histories: Iterable[History] | None = None,
        *,
        users: Sequence[str | int] | None = None,
        times: Iterable[Sequence[int]] | None = None,
        targets: bool = False,
    ) -> np.ndarray:
        """The vector of each history, f32 [histories, width]; see `item_embeddings`."""
        return self.trained.user_embeddings(self._asked(histories, users, times, targets))

    def predict(self, rows: Any) -> dict[str, np.ndarray]:
        """The answer to each label of each row: a probability or a number, f32 [rows], or the
        probability of each class, [rows, classes].

        Args:
          rows: raw columns, as the dataset's files have them: a list of dicts, a dict of columns,
            or a table of pandas, polars or PyArrow.

        Raises RequestError: a column is missing, or a value cannot be what its column holds.
        """
        if self._predictor is None:
            raise RequestError(f"{self.place} recommends items, and has no labels; call recommend")
        return self._predictor.predict(raw_rows.columns(rows, self._predictor.inputs))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The raw columns that `predict` reads."""
        if self._predictor is None:
            raise RequestError(f"{self.place} reads histories of items; call recommend")
        return tuple(self._predictor.inputs)

    def known_users(self, *, targets: bool = False) -> Users:
        """The users of its dataset, and their histories, for who asks about many."""
        from podway.framework.input.dataset import Dataset
        from podway.launch.loaded.users import Users

        engine = self.engine
        if self._dataset is None:
            raise RequestError(
                f"the dataset of {self.place} is not in {self.place.workdir / 'datasets'}, so its"
                " users are not known; give histories"
            )
        if targets not in self._known_users:
            dataset = Dataset.open(self._dataset.directory)
            self._known_users[targets] = Users(dataset, timed=engine.timed, targets=targets)
        return self._known_users[targets]

    @property
    def engine(self) -> Engine:
        """What answers, for who asks about many (launch/batch/)."""
        if self._recommender is None:
            raise RequestError(f"{self.place} predicts labels of rows, and no items; call predict")
        return self._recommender

    @functools.cached_property
    def trained(self) -> Trained:
        """The run that it is, or was made of: it computes what only a run can say."""
        from podway.launch.loaded.trained import Trained

        engine, directory = self.engine, self.place.run()
        if isinstance(engine, Trained):
            return engine
        if directory is None:
            raise RequestError(
                f"{self.place} answers with its best items alone; what you ask for is computed by"
                f" the run that it was made of, which is not in {self.place.workdir / 'runs'}: load"
                " a run"
            )
        return LoadedModel(places.find(directory)).trained

    def _load_run(self) -> None:
        from podway.framework import task
        from podway.framework.runs import run

        experiment, _, parameters = run.load(self.place.directory)
        _, schema = run.described(self.place.directory)
        if not run.is_of_this_code(experiment, self.place.directory):
            message = (
                f"{self.place} was made by other code than is here now, which answers with its"
                " parameters; train it anew, or publish a model before you edit"
            )
            warnings.warn(OtherCode(message), stacklevel=4)
        dataset = self._dataset
        if dataset is None:
            raise RequestError(
                f"{self.place} was made of the dataset {self.place.manifest.inputs['dataset']},"
                f" which is not in {self.place.workdir / 'datasets'}: build it again, or load the"
                " published model"
            )
        if isinstance(experiment.model, task.LabelModel):
            self._predictor = TrainedLabels(experiment, parameters, dataset)
        else:
            from podway.launch.loaded.trained import Trained

            self._recommender = Trained(experiment, schema, parameters, dataset)

    @functools.cached_property
    def _dataset(self) -> Dataset | None:
        """To read what is known of items, not the examples."""
        directory = self.place.dataset()
        if directory is None:
            return None
        from podway.framework.input.dataset import Dataset

        return Dataset.open(directory, examples=False)

    @functools.cached_property
    def _attributes(self) -> dict[str, np.ndarray]:
        """Of the items, by name, object [ids], where the dataset is there."""
        return {} if self._dataset is None else self._dataset.attributes("item")

    def _asked(
        self,
        histories: Iterable[History] | None,
        users: Sequence[str | int] | None,
        times: Iterable[Sequence[int]] | None,
        targets: bool,
    ) -> Histories:
        """The histories as ids; those that are given have an item that the model knows."""
        engine = self.engine
        require((histories is None) != (users is None), "give either histories or users=[…]")
        if users is not None:
            require(times is None, "users have their times in the dataset; leave out `times`")
            known = self.known_users(targets=targets)
            return known.read(known.places(users))
        require(not targets, "histories have no targets; leave out `targets`")
        given = list(asked.lists(histories))
        found = asked.of_values(given, engine.items, times, timed=engine.timed)
        asked.check(found, given)
        if (unknown := found.unknown).any():
            warnings.warn(
                f"{unknown.sum():,} of {len(found.ids):,} items, in {(unknown > 0).sum():,} of"
                f" {len(found):,} histories, are unknown to the model",
                UnknownValues,
                stacklevel=3,
            )
        return found

    def _filters(self, given: Filter | Sequence[Filter] | None, count: int) -> Sequence[Filter]:
        """One for each history, or none."""
        if given is None:
            return ()
        filters = [given] * count if isinstance(given, Filter) else list(given)
        require(
            all(isinstance(each, Filter) for each in filters),
            "filter is no Filter; give podway.Filter(allow=[…], deny=[…]), or a list of these",
        )
        require(
            len(filters) == count,
            f"there are {len(filters)} filters for {count} histories; give one for each, or one",
        )
        items = self.engine.items
        strangers = [item for each in dict.fromkeys(filters) for item in each.unknown(items)]
        if strangers:
            warnings.warn(
                f"{len(strangers):,} items of the filter are unknown to the model, for example"
                f" {strangers[0]!r}",
                UnknownValues,
                stacklevel=3,
            )
        return () if all(each == NO_FILTER for each in filters) else filters
