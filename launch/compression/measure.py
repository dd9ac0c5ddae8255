"""What a compressed model takes and what it is worth, beside the model that it was made from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath

from podway.export.versions.promote import VERIFIED
from podway.framework.comparison import significance
from podway.framework.config import Experiment
from podway.framework.devices.topology import Topology
from podway.framework.error import PodwayError
from podway.framework.evaluation.labels import LabelEvaluator
from podway.framework.input.dataset import Dataset
from podway.launch.compression import answer, memory
from podway.launch.compression.answer import OnChip
from podway.launch.gate import contender, labelled, measured, ranked, timing
from podway.launch.gate.contender import Contender

BATCHES = (1, 8, 64)
"""Rows of the requests that are timed."""
CALLS = 40
"""Calls of each in each round."""


@dataclasses.dataclass(frozen=True)
class Made:
    """A model of the chain: the uncompressed one, or what a step led to.

    Attributes:
      step: as it is typed; "" of the first.
      experiment: of it.
      run: the folder.
      number: of the published version.
    """

    step: str
    experiment: Experiment
    run: epath.Path
    number: int


@dataclasses.dataclass(frozen=True)
class Latency:
    """Milliseconds of calls of one size, and those of the first model, which took turns."""

    p50: float
    p99: float
    first_p50: float
    first_p99: float

    @property
    def ratio(self) -> float:
        """Of the medians."""
        return self.p50 / self.first_p50


@dataclasses.dataclass(frozen=True)
class Quality:
    """A metric, and by how much it differs from the first model's, over the same users.

    Attributes:
      value: of this model.
      first: of the first.
      difference: this less first, with its 95 % interval.
    """

    value: float
    first: float
    difference: significance.Interval

    @property
    def relative(self) -> float:
        """The difference as a share of the first's."""
        return self.difference.mean / self.first if self.first else float("nan")


@dataclasses.dataclass(frozen=True)
class Row:
    """What is known of a model of the chain.

    Attributes:
      made: which.
      disk: bytes of the published version's files.
      weights: bytes of its variables alone.
      memory: bytes that it takes when loaded and asked; None: unknown on this system.
      core: milliseconds of all cores together, of an answer of one row.
      flops: of one row; None: it cannot be traced.
      latency: by rows of the request.
      quality: metric → what it is worth; of a slice "METRIC [SLICE]".
      parity: what the export's own check said.
      chip: by rows of the request, what the answer takes on a chip that was asked for.
    """

    made: Made
    disk: int
    weights: int
    memory: int | None
    core: float
    flops: float | None
    latency: Mapping[int, Latency]
    quality: Mapping[str, Quality]
    parity: str
    chip: Mapping[int, OnChip]


def measure(
    chain: Sequence[Made], dataset: Dataset, workdir: epath.PathLike, pod: Topology | None = None
) -> list[Row]:
    """A row for each model; all are held against the first one.

    For `pod`, one chip, the answers are compiled, too. Raises PodwayError.
    """
    first = chain[0]
    contenders = [contender.find(first.experiment.name, made.number, workdir) for made in chain]
    options = contender.Options(workdir=workdir, code="keep")
    rows = []
    for made, each in zip(chain, contenders, strict=True):
        files, held = each.manifest.files, memory.measure(each.place.directory)
        asked = answer.of(made.experiment, dataset, made.run)
        rows.append(
            Row(
                made,
                disk=sum(file.size for file in files),
                weights=sum(file.size for file in files if file.path.startswith("variables/")),
                memory=held.bytes,
                core=held.core_ms,
                flops=answer.operations(asked),
                latency=_latency(each, contenders[0]),
                quality=_quality(made, each, contenders[0], dataset, options),
                parity=str(each.manifest.details.get(VERIFIED, "")),
                chip={size: answer.on_chip(asked, pod, size) for size in BATCHES} if pod else {},
            )
        )
    return rows


def _latency(own: Contender, first: Contender) -> dict[int, Latency]:
    folders = own.place.directory, first.place.directory
    found = {}
    for size, times in timing.measure(*folders, BATCHES, CALLS).items():
        if isinstance(times, measured.Unmeasured):
            raise PodwayError(f"{folders[0]}: {times.reason}")
        assert times.champion is not None
        (p50, p99), (first_p50, first_p99) = (
            1000 * np.percentile(each, (50, 99)) for each in (times.candidate, times.champion)
        )
        found[size] = Latency(float(p50), float(p99), float(first_p50), float(first_p99))
    return found


def _quality(
    made: Made, own: Contender, first: Contender, dataset: Dataset, options: contender.Options
) -> dict[str, Quality]:
    """Of all metrics that have a value for each user, and the selecting one by slices."""
    experiment = made.experiment
    evaluator = ranked.evaluator_of(experiment.model, experiment.evaluation)
    cutoffs = experiment.evaluation.cutoffs
    if isinstance(evaluator, LabelEvaluator):
        asked = labelled.measure(own, first, experiment, dataset, options)
        names = [
            f"{head.label}/{metric}"
            for head in asked.heads
            for metric in head.measure(
                asked.candidate[head.label], asked.truth[head.label], asked.truth["user"]
            )
        ]
    else:
        asked = ranked.measure(own, first, experiment, dataset, max(cutoffs), options)
        names = [f"{metric}@{k}" for k in cutoffs for metric in ("hr", "ndcg")]
    wanted = [(name, "") for name in dict.fromkeys([evaluator.metric, *names])]
    wanted += [(evaluator.metric, part) for part in asked.groups]
    found = {}
    for name, part in wanted:
        values = asked.metric(name, part)
        if isinstance(values, measured.Values) and values.champion is not None:
            each = values.candidate - values.champion
            spread = significance.interval(each) if len(each) > 1 else _alone(each)
            found[measured.called(name, part)] = Quality(
                float(values.candidate.mean()), float(values.champion.mean()), spread
            )
    return found


def _alone(each: np.ndarray) -> significance.Interval:
    """Of a single user nobody knows the spread."""
    return significance.Interval(float(each.mean()), float("-inf"), float("inf"))
