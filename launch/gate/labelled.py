"""Models of labels beside each other: what both predict for each row of the test split.

Another dataset's rows are translated into the ids of the champion's (framework/input/mixture.py):
a value that it does not know is out of its vocabulary, an item's attributes are those that it knows
of it, and numbers are scaled as it has them. Quantiles of other values cannot be translated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import numpy as np

from podway.framework import config
from podway.framework.error import ConfigError, PodwayError
from podway.framework.evaluation import slices
from podway.framework.evaluation.evaluator import answers
from podway.framework.evaluation.labels import LabelEvaluator
from podway.framework.heads import Head
from podway.framework.input import join, mixture
from podway.framework.input.batches import row_batches
from podway.framework.input.dataset import Dataset
from podway.framework.metrics.labels import Estimate
from podway.framework.runs import run as runs
from podway.framework.schema.schema import FIRST_VALUE
from podway.framework.task import LabelModel, of_kind
from podway.launch.gate import scales
from podway.launch.gate.contender import Contender, Options
from podway.launch.gate.measured import Point, Unmeasured, Values

PREDICTIONS, TRANSLATED = (
    "predictions for the rows of the dataset of both",
    "predictions for the candidate's rows, translated for the champion",
)
Logits = Mapping[str, np.ndarray]
"""By label, [rows] or [rows, classes]."""


@dataclasses.dataclass(frozen=True)
class Labelled:
    """What both predict.

    Attributes:
      heads: the labels.
      candidate: its logits.
      champion: likewise; None: there is none, or it cannot be asked.
      missing: why not.
      truth: the labels and "user" of each row, and "item" where the dataset has it.
      groups: masks of the slices, [rows].
      by: what the predictions are of.
    """

    heads: tuple[Head, ...]
    candidate: Logits
    champion: Logits | None
    missing: Unmeasured | None
    truth: Mapping[str, np.ndarray]
    groups: Mapping[str, np.ndarray]
    by: str

    def metric(self, name: str, part: str) -> Values | Point | Unmeasured:
        """A metric of a slice, by both."""
        label, _, metric = name.partition("/")
        head = next((head for head in self.heads if head.label == label), None)
        if head is None or not metric:
            known = ", ".join(head.label for head in self.heads)
            return Unmeasured(
                f"{name} is no metric of a model of labels; give one as LABEL/METRIC, of {known}",
                wrong=True,
            )
        if part and not (part in self.groups and self.groups[part].any()):
            return Unmeasured(
                f"no test row is in the slice {part!r}, so nothing is shown of it; leave the rule"
                " out, or evaluate on more"
            )
        mask = self.groups[part] if part else np.ones(len(self.truth["user"]), bool)
        own = self._estimate(head, metric, self.candidate, mask)
        if isinstance(own, Unmeasured):
            return own
        if own.influence is None and np.isfinite(own.value):
            return Point(own.value)
        users = self.truth["user"][mask]
        if self.champion is None:
            return self.missing or Values(_by_user(own, users))
        theirs = self._estimate(head, metric, self.champion, mask)
        if isinstance(theirs, Unmeasured):
            return theirs
        return Values(_by_user(own, users), _by_user(theirs, users))

    @property
    def invalid(self) -> float:
        """Share of the rows with a prediction that is no number."""
        rows = len(self.truth["user"])
        finite = np.ones(rows, bool)
        for logits in self.candidate.values():
            finite &= np.isfinite(logits).reshape(rows, -1).all(1)
        return float((~finite).mean()) if rows else float("nan")

    def _estimate(
        self, head: Head, metric: str, logits: Logits, mask: np.ndarray
    ) -> Estimate | Unmeasured:
        given = logits[head.label][mask]
        numbers = np.where(np.isfinite(given), given, 0)
        found = head.measure(numbers, self.truth[head.label][mask], self.truth["user"][mask])
        if metric not in found:
            return Unmeasured(
                f"{head.label} has no {metric}; its metrics are {', '.join(sorted(found))}",
                wrong=True,
            )
        estimate = found[metric]
        if estimate is None:
            return Unmeasured(
                f"{head.label}/{metric} is not defined on these rows: their labels are all alike"
            )
        # A sort would take what is no number for the best.
        return estimate if np.isfinite(given).all() else Estimate(float("nan"))


def _by_user(estimate: Estimate, users: np.ndarray) -> np.ndarray:
    """A metric as each user pulls it, around its value, [users]."""
    rows = np.bincount(users)
    if estimate.influence is None:
        return np.full(int((rows > 0).sum()), estimate.value)
    pulls = np.bincount(users, weights=estimate.influence)[rows > 0]
    return estimate.value + len(pulls) * pulls


def measure(
    candidate: Contender,
    champion: Contender | None,
    experiment: config.Experiment,
    dataset: Dataset,
    options: Options,
) -> Labelled:
    """The predictions. Raises ArtifactError, CodeChanged."""
    assert candidate.run is not None
    runs.check_code(experiment, candidate.run, options.code)
    model = of_kind(experiment.model, LabelModel)
    evaluator = LabelEvaluator(model, experiment.evaluation)
    _, _, parameters = runs.load(candidate.run, experiment)
    truth = _truth(model, dataset)
    own = _logits(evaluator, parameters, dataset, dataset, {})
    alone = Labelled(
        tuple(model.objectives), own, None, None, truth, _slices(truth, dataset), PREDICTIONS
    )
    if champion is None:
        return alone
    same = champion.manifest.inputs["dataset"] == candidate.manifest.inputs["dataset"]
    try:
        theirs = _of_champion(champion, model, experiment, dataset, options, same=same)
    except PodwayError as error:
        return dataclasses.replace(alone, missing=Unmeasured(f"the champion: {error}"))
    return dataclasses.replace(alone, champion=theirs, by=PREDICTIONS if same else TRANSLATED)


def _of_champion(
    champion: Contender,
    model: LabelModel,
    experiment: config.Experiment,
    dataset: Dataset,
    options: Options,
    *,
    same: bool,
) -> Logits:
    """The champion's logits for the candidate's rows. Raises PodwayError: it cannot be asked."""
    if champion.run is None or champion.dataset is None:
        gone = "run" if champion.run is None else "dataset"
        raise ConfigError(
            f"its {gone} is gone, and a published model of labels takes raw columns, which a"
            f" dataset does not keep; train it again, or promote with --without-gate"
        )
    theirs, _, parameters = runs.load(champion.run)
    runs.check_code(theirs, champion.run, options.code)
    their_model = of_kind(theirs.model, LabelModel)
    known = {head.label: type(head) for head in their_model.objectives}
    lacking = [head.label for head in model.objectives if known.get(head.label) is not type(head)]
    if lacking:
        raise ConfigError(f"it does not predict {', '.join(lacking)} as the candidate does")
    evaluator = LabelEvaluator(their_model, experiment.evaluation)
    home = dataset if same else Dataset.open(champion.dataset, examples=False)
    labels = dict.fromkeys((head.label for head in model.objectives), 1)
    return _logits(evaluator, parameters, home, dataset, {} if same else labels)


def _logits(
    evaluator: LabelEvaluator,
    parameters: Mapping[str, np.ndarray],
    home: Dataset,
    dataset: Dataset,
    labels: Mapping[str, int],
) -> Logits:
    """Logits for the test rows of `dataset` by a model of `home`, whose ids it reads.

    Raises ConfigError where the rows, or `labels`, cannot be translated.
    """
    lengths = evaluator.lengths(home.schema)
    own = {name: length for name, length in lengths.items() if not join.is_joined(name)}
    scaled, to_home = {}, {}
    if home is not dataset:
        scaled = scales.between(dataset, home, own)
        wanted = {name: at for name, at in {**own, **labels}.items() if name not in scaled}
        to_home = mixture.translations(dataset, home, wanted)
    tables = join.attribute_tables(home, lengths)
    said = answers(evaluator, home.schema, parameters)
    parts = []
    for batch in row_batches(dataset, "test", own, evaluator.options.batch_size):
        columns = {
            name: to_home[name][column]
            if name in to_home
            else scaled[name](column)
            if name in scaled
            else column
            for name, column in batch.columns.items()
        }
        joined = {name: table(columns) for name, table in tables.items()}
        logits = jax.device_get(said(columns | joined))
        parts.append({name: each[batch.valid] for name, each in logits.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _truth(model: LabelModel, dataset: Dataset) -> dict[str, np.ndarray]:
    """Labels, users and items of the test rows; without users each row is one of its own."""
    blocks = dataset.blocks("test")
    names = [head.label for head in model.objectives]
    names += [name for name in ("user", "item") if dataset.schema.has(name)]
    found = blocks.read(np.arange(len(blocks.rows)), names)
    columns = {name: column for name, column in found.items() if isinstance(column, np.ndarray)}
    rows = len(columns[names[0]])
    return {"user": np.arange(rows)} | columns


def _slices(truth: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, np.ndarray]:
    """Masks [rows], by the names that rules have: by the user's and the item's training events."""
    found: dict[str, np.ndarray] = {}
    if dataset.schema.has("user"):
        counts = np.array(dataset.vocabulary("user").counts)
        counts[:FIRST_VALUE] = 0
        for name, mask in slices.by_activity(counts[truth["user"]]).items():
            third = "short" if "≤" in name else "long" if ">" in name else "middle"
            found[f"history {third}"] = mask
    if "item" in truth:
        counts = np.array(dataset.vocabulary("item").counts)
        found |= slices.by_popularity(truth["item"], counts)
    return found
