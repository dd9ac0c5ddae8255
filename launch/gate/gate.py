"""Judges a published version beside the champion."""

from __future__ import annotations

import dataclasses

from etils import epath

from podway.export import layout
from podway.framework import codec
from podway.framework.config import Experiment, Gate
from podway.framework.error import check
from podway.framework.runs import run as runs
from podway.launch.gate import contender, measure, record, text, verdict
from podway.launch.gate.contender import Contender, Options
from podway.launch.gate.error import GateError, NotPassed
from podway.launch.gate.finding import Verdict


def judge(model: str, version: int, options: Options) -> tuple[Verdict, epath.Path]:
    """The verdict on a version, and its folder; one that is there is taken, unless `again` is said.

    Raises GateError: it has no gate, or cannot be judged; ArtifactError, ExportError: it is not
    there; CodeChanged; ConfigError: a rule that says what cannot be.
    """
    candidate, experiment, gate = _judged(model, version, options)
    label = gate.label if options.label is None else options.label
    at = contender.champion(model, options.workdir, label)
    if at == version:
        return _of_champion(candidate, options)
    champion = None if at is None else contender.find(model, at, options.workdir)
    _, _, wanted = record.identity(gate, experiment, candidate, champion)
    found = record.latest(options.workdir, model, version)
    if found is not None and not options.again and record.is_of(found, wanted):
        return record.read(found), found
    made = _verdict(label, gate, experiment, candidate, champion, options)
    directory = record.write(made, gate, experiment, candidate, champion, options.workdir)
    return made, directory


def rehearse(model: str, version: int, options: Options) -> Verdict:
    """What the verdict would be. None is written, and what does not hold is no error.

    The champion may lie in another workdir (`options.champions`); where that has no such model, the
    version is judged alone.

    Raises what `judge` raises, and GateError: no data would have one of the rules judged.
    """
    candidate, experiment, gate = _judged(model, version, options)
    label = gate.label if options.label is None else options.label
    home = epath.Path(options.workdir if options.champions is None else options.champions)
    check(
        home.is_dir(),
        f"--champions {home} does not exist; give the workdir whose models/{model} serves",
    )
    at = None
    if (layout.models(home) / model).exists():
        at = contender.champion(model, home, label)
    if at == version and options.champions is None:
        at = None
    champion = None if at is None else contender.find(model, at, home)
    made = _verdict(label, gate, experiment, candidate, champion, options)
    if wrong := [finding for finding in made.findings if finding.wrong]:
        said = "; ".join(f"{finding.rule}: {finding.reason}" for finding in wrong)
        raise GateError(f"gate.rules of {model} asks for what nobody can measure: {said}")
    return made


def _judged(model: str, version: int, options: Options) -> tuple[Contender, Experiment, Gate]:
    """A candidate, the experiment that it is judged as, and the rules. Raises GateError."""
    candidate = contender.find(model, version, options.workdir)
    _check_sources(candidate, options)
    assert candidate.run is not None
    experiment, _ = runs.described(candidate.run)
    gate = _gate(candidate, options)
    if options.experiment is not None:
        experiment = _with_evaluation(experiment, options.experiment)
    return candidate, experiment, gate


def _verdict(
    label: str,
    gate: Gate,
    experiment: Experiment,
    candidate: Contender,
    champion: Contender | None,
    options: Options,
) -> Verdict:
    measured, by = measure.measure(gate, experiment, candidate, champion, options)
    return Verdict(
        model=candidate.place.name,
        version=candidate.number,
        champion=None if champion is None else champion.number,
        label=label,
        dataset=candidate.manifest.inputs["dataset"],
        examples=measured.examples,
        by=by,
        error_rate=gate.error_rate,
        findings=verdict.findings(gate, measured),
    )


def _gate(candidate: Contender, options: Options) -> Gate:
    """The rules: of the config that is given, else those that the version was exported with."""
    if options.experiment is not None:
        gate, where = options.experiment.gate, f"the config {options.experiment.name}"
    else:
        said = candidate.manifest.details.get(layout.GATE)
        gate = codec.from_json(Gate, said, "gate") if said else Gate()
        where = f"{candidate.place} was exported with a config that"
    if not gate.rules:
        raise GateError(
            f"{where} has no gate: give rules, gate=Gate(rules=(NotWorse(),)), in a config, and"
            " --config CONFIG"
        )
    return gate


def _check_sources(candidate: Contender, options: Options) -> None:
    for what, found in (("run", candidate.run), ("dataset", candidate.dataset)):
        if found is None:
            raise GateError(
                f"the {what} {candidate.manifest.inputs.get(what, '')} that {candidate.place} was"
                f" made of is not in {options.workdir}, and a candidate is judged by both: make it"
                " again by `podway run` with its config"
            )


def _with_evaluation(experiment: Experiment, now: Experiment) -> Experiment:
    if now.name != experiment.name:
        raise GateError(
            f"--config is of {now.name!r}, and the version is of {experiment.name!r}; give the"
            " config that it was made by"
        )
    return dataclasses.replace(experiment, evaluation=now.evaluation)


def _of_champion(candidate: Contender, options: Options) -> tuple[Verdict, epath.Path]:
    """Of a version that has taken the champion's place: the verdict by which it did."""
    found = record.latest(options.workdir, candidate.place.name, candidate.number)
    if found is None or options.again:
        raise GateError(
            f"{candidate.place} is the champion itself, so there is nothing to hold it against;"
            " name another with --label"
        )
    return record.read(found), found


def say(verdict: Verdict, directory: epath.Path) -> None:
    """Prints a verdict. Raises NotPassed."""
    print((directory / record.TABLE).read_text(), end="")
    print(f"report: {directory / record.PAGE}", flush=True)
    if not verdict.passed:
        raise NotPassed(
            f"{verdict.model} {verdict.version} did not pass its gate: {text.reasons(verdict)}"
        )
