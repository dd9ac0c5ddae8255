"""Recommenders beside each other: the rank of each test user's target by both.

Of one dataset, and by the code that is here now, both are as their evaluations have them. Else both
are asked as they are served, for the histories of the candidate's test split, each in its own
vocabulary: what a version does not know of a history it is not told, and a target that it does not
know is a miss, as it would be for the user.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from podway.framework import config
from podway.framework.artifact.upgrade import Choice
from podway.framework.comparison import evaluation
from podway.framework.evaluation import slices
from podway.framework.evaluation.evaluators import evaluator_of
from podway.framework.input.batches import evaluation_batches
from podway.framework.input.columns import Ragged
from podway.framework.input.dataset import Dataset
from podway.framework.input.interactions import target_counts
from podway.framework.metrics import ranking
from podway.framework.report import artefacts
from podway.framework.runs import run as runs
from podway.framework.schema.schema import FIRST_VALUE, OUT_OF_VOCABULARY, PADDING
from podway.launch.gate.contender import Contender, Options
from podway.launch.gate.error import GateError
from podway.launch.gate.measured import Point, Unmeasured, Values
from podway.launch.loaded.engine import Engine
from podway.launch.loaded.histories import Histories, Items
from podway.launch.loaded.model import LoadedModel

_RANKED = re.compile(r"(\w+)@(\d+)")
_BATCH = 256
_MICRO = 1_000_000
EVALUATIONS, AS_SERVED = "evaluations on the dataset of both", "answers as served"


@dataclasses.dataclass(frozen=True)
class Ranked:
    """What both did on the test split.

    Attributes:
      candidate: rank of each user's target, from 1, [users].
      champion: likewise; None: there is none, or it cannot be asked.
      missing: why not.
      depth: up to which rank they are known; None: all.
      groups: masks of the slices, [users].
      table: the candidate's metrics.
      by: what the ranks come from.
    """

    candidate: np.ndarray
    champion: np.ndarray | None
    missing: Unmeasured | None
    depth: int | None
    groups: Mapping[str, np.ndarray]
    table: Mapping[str, Mapping[str, Any]]
    by: str

    def metric(self, name: str, part: str) -> Values | Point | Unmeasured:
        """A metric of a slice, by both."""
        found = _RANKED.fullmatch(name)
        if not found or found[1] not in ranking.PER_USER:
            cell = self.table.get(name)
            if cell is None or part:
                return _unknown(name, part)
            value = cell.get("value")
            return Point(float("nan") if value is None else float(value))
        per_user, k = ranking.PER_USER[found[1]], int(found[2])
        if self.missing is not None:
            return self.missing
        if self.depth is not None and k > self.depth:
            return Unmeasured(
                f"{name} looks at {k} items, and a version answers with {self.depth}: give a rule"
                f" of up to {self.depth}, or export with a larger export.top_k",
                wrong=True,
            )
        if part and part not in self.groups:
            return Unmeasured(
                f"no test user is in the slice {part!r}, so nothing is shown of it; leave the rule"
                " out, or evaluate on more"
            )
        mask = self.groups[part] if part else np.ones(len(self.candidate), bool)
        champion = None if self.champion is None else per_user(self.champion, k)[mask]
        return Values(per_user(self.candidate, k)[mask], champion, shares=True)

    @property
    def invalid(self) -> float:
        """Share of the users with a score that is no number."""
        value = self.table.get("invalid_scores", {"value": 0.0}).get("value")
        return float("nan") if value is None else float(value)


def _unknown(name: str, part: str) -> Unmeasured:
    return Unmeasured(
        f"a recommender has no {name}{f' of a slice ({part})' if part else ''}; give a metric of"
        " its evaluation's table, such as ndcg@10",
        wrong=True,
    )


def measure(
    candidate: Contender,
    champion: Contender | None,
    experiment: config.Experiment,
    dataset: Dataset,
    depth: int,
    options: Options,
) -> Ranked:
    """The ranks; `depth` is the longest list that a rule looks at.

    Raises ArtifactError, CodeChanged.
    """
    assert candidate.run is not None
    made = evaluation.compare(experiment, candidate.run, dataset, options.workdir, options.code)
    own = evaluation.own_name(experiment)
    ranks = evaluation.read_ranks(made).get(own, np.zeros(0, np.int32))
    table, groups = artefacts.table(made)[own], slices_of(dataset)
    alone = Ranked(ranks, None, None, None, groups, table, EVALUATIONS)
    if champion is None:
        return alone
    if champion.is_of_labels:
        reason = "the champion predicts labels, and recommends nothing: there is nothing to compare"
        return dataclasses.replace(alone, missing=Unmeasured(reason))
    if champion.manifest.inputs["dataset"] == candidate.manifest.inputs["dataset"]:
        theirs = _evaluated(champion, experiment, dataset, options)
        if theirs is not None:
            return dataclasses.replace(alone, champion=theirs)
    engines = [_engine(each, options.code) for each in (candidate, champion)]
    top = [_longest(each) for each in (candidate, champion)]
    depth = min([depth, dataset.schema["item"].size - FIRST_VALUE, *top])
    both = [as_served(engine, dataset, depth) for engine in engines]
    return dataclasses.replace(
        alone, candidate=both[0], champion=both[1], depth=depth, by=AS_SERVED
    )


def slices_of(dataset: Dataset) -> dict[str, np.ndarray]:
    """Masks [users] of the slices that have users, by the names that rules have for them."""
    history, target = [], []
    length = dataset.schema["item"].max_length
    for batch in evaluation_batches(dataset, "test", history=length, batch_size=_BATCH):
        history.append((batch["history"] != PADDING).sum(1)[batch["valid"]])
        target.append(batch["target"][batch["valid"]])
    if not history:
        raise GateError(f"{dataset.directory} has no test examples to judge by")
    found = {}
    for name, mask in slices.by_activity(np.concatenate(history)).items():
        third = "short" if "≤" in name else "long" if ">" in name else "middle"
        found[f"history {third}"] = mask
    return found | slices.by_popularity(np.concatenate(target), target_counts(dataset))


def _evaluated(
    champion: Contender, experiment: config.Experiment, dataset: Dataset, options: Options
) -> np.ndarray | None:
    """The champion's ranks by its evaluation; None: its run is gone, or of other code.

    It is evaluated as the candidate is, but recommends what was seen only where it does so itself.
    """
    if champion.run is None:
        return None
    theirs, _ = runs.described(champion.run)
    if not _may_answer(champion.run, theirs, options.code):
        return None
    alike = dataclasses.replace(
        theirs,
        evaluation=dataclasses.replace(
            experiment.evaluation, exclude_seen=theirs.evaluation.exclude_seen
        ),
    )
    made = evaluation.compare(alike, champion.run, dataset, options.workdir, options.code)
    return evaluation.read_ranks(made).get(evaluation.own_name(alike))


def _may_answer(run: Any, experiment: config.Experiment, code: Choice | None) -> bool:
    """Whether a run's parameters meet the code that they were made by, or were kept for this."""
    return code == "keep" or runs.is_of_this_code(experiment, run)


def _engine(contender: Contender, code: Choice | None) -> Engine:
    """The run where it and its dataset are there and of this code, else the published model."""
    directory = contender.place.directory
    if contender.run is not None and contender.dataset is not None:
        experiment, _ = runs.described(contender.run)
        if _may_answer(contender.run, experiment, code):
            directory = contender.run
    from podway.launch.loaded import place

    return LoadedModel(place.find(directory)).engine


def _longest(contender: Contender) -> int:
    """Items that it answers with."""
    return int(contender.manifest.details["top_k"])


def as_served(engine: Engine, dataset: Dataset, depth: int) -> np.ndarray:
    """The rank of each test user's target among what a version answers, [users]; UNRANKED where its
    `depth` items lack it."""
    to_theirs = _translation(dataset, engine.items)
    parts = []
    for histories, target in _examples(dataset, timed=engine.timed):
        asked = dataclasses.replace(histories, ids=to_theirs[histories.ids])
        found = engine.recommend(asked, depth, ()).ids
        wanted = to_theirs[target]
        hit = (found == wanted[:, None]) & (wanted >= FIRST_VALUE)[:, None]
        parts.append(np.where(hit.any(1), hit.argmax(1) + 1, ranking.UNRANKED))
    return np.concatenate(parts)


def _translation(dataset: Dataset, items: Items) -> np.ndarray:
    """The version's id of each of the dataset's items, int32; OUT_OF_VOCABULARY: it has none."""
    values = dataset.vocabulary("item").values
    ids = np.array([items.ids.get(value, OUT_OF_VOCABULARY) for value in values], np.int32)
    ids[:FIRST_VALUE] = PADDING, OUT_OF_VOCABULARY
    return ids


def _examples(dataset: Dataset, *, timed: bool) -> Iterator[tuple[Histories, np.ndarray]]:
    """Histories and targets of the test split, in its order, as ids of the dataset."""
    blocks = dataset.blocks("test")
    for index in range(len(blocks.rows)):
        columns = blocks.read(np.array([index]), ["item", "target", *["time"] * timed])
        item, time, target = columns["item"], columns.get("time"), columns["target"]
        assert isinstance(item, Ragged)
        assert isinstance(target, np.ndarray)
        times = time.values // _MICRO if isinstance(time, Ragged) else None
        yield Histories(item.values, item.offsets, times), target


def selection(experiment: config.Experiment) -> str:
    """The metric that selects the checkpoint."""
    return evaluator_of(experiment.model, experiment.evaluation).metric


def depth_of(metrics: list[str]) -> int:
    """The longest list that some metrics look at."""
    found = [_RANKED.fullmatch(name) for name in metrics]
    return max((int(each[2]) for each in found if each), default=1)
