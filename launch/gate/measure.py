"""Measures all that the rules ask for."""

from __future__ import annotations

from etils import epath

from podway.framework.config import (
    Better,
    DataCheck,
    Experiment,
    Gate,
    Latency,
    NotWorse,
    Size,
    Within,
)
from podway.framework.error import ConfigError, PodwayError
from podway.framework.evaluation.labels import LabelEvaluator
from podway.framework.input.dataset import Dataset
from podway.launch.gate import labelled, ranked, timing
from podway.launch.gate.contender import Contender, Options
from podway.launch.gate.measured import Measured, Unmeasured


def measure(
    gate: Gate,
    experiment: Experiment,
    candidate: Contender,
    champion: Contender | None,
    options: Options,
) -> tuple[Measured, str]:
    """What is known of both versions, and what their metrics are made of, in words.

    Raises ArtifactError, CodeChanged; ConfigError: a rule that says what cannot be.
    """
    assert candidate.dataset is not None
    dataset = Dataset.open(candidate.dataset)
    selects = ranked.selection(experiment)
    wanted = [
        (rule.metric or selects, rule.slice)
        for rule in gate.rules
        if isinstance(rule, Better | NotWorse | Within)
    ]
    if isinstance(ranked.evaluator_of(experiment.model, experiment.evaluation), LabelEvaluator):
        found = labelled.measure(candidate, champion, experiment, dataset, options)
    else:
        depth = ranked.depth_of([metric for metric, _ in wanted])
        found = ranked.measure(candidate, champion, experiment, dataset, depth, options)
    sizes = sorted({rule.batch_size for rule in gate.rules if isinstance(rule, Latency)})
    folder = None if champion is None else champion.place.directory
    measured = Measured(
        selection=selects,
        examples=dataset.examples("test"),
        invalid=found.invalid,
        champion=champion is not None,
        values={each: found.metric(*each) for each in wanted},
        timings=timing.measure(candidate.place.directory, folder, sizes, gate.calls),
        bytes=_bytes(candidate, champion) if _has(gate, Size) else (0, None),
        checked={
            rule: _checked(rule, candidate.dataset, champion)
            for rule in gate.rules
            if isinstance(rule, DataCheck)
        },
    )
    return measured, found.by


def _has(gate: Gate, kind: type) -> bool:
    return any(isinstance(rule, kind) for rule in gate.rules)


def _bytes(candidate: Contender, champion: Contender | None) -> tuple[int, int | None]:
    def size(contender: Contender) -> int:
        return sum(file.size for file in contender.manifest.files)

    return size(candidate), None if champion is None else size(champion)


def _checked(rule: DataCheck, dataset: epath.Path, champion: Contender | None):
    """What `podway data --check` finds, or why it cannot be asked."""
    from podway.beam.check import check as checks

    against = None
    if rule.against_champion and champion is not None:
        if champion.dataset is None:
            return Unmeasured(
                "the champion's dataset"
                f" {champion.manifest.inputs['dataset']} is gone, so there is nothing to check"
                " against; build it again, or give a schema and against_champion=False"
            )
        against = champion.dataset
    if against is None and not rule.schema:
        return Unmeasured("there is no champion whose dataset it could be checked against")
    try:
        return checks.check(
            dataset, schema=rule.schema or None, against=against, limits=rule.limits
        )
    except ConfigError:
        raise
    except PodwayError as error:
        return Unmeasured(str(error))
