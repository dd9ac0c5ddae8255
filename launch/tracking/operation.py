"""What is told of versions on their way to users: the verdict of a gate, and each rollout."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath

from podway.framework import codec
from podway.framework.report import artefacts
from podway.launch.rollout import judgement
from podway.launch.rollout.judgement import Judgement
from podway.launch.tracking import names, place
from podway.launch.tracking.told import Point, Status, Told, key
from podway.online.error import OnlineError
from podway.online.rollout import histogram, store
from podway.online.rollout.state import State

VERDICT, PAGE = "verdict.json", "report.html"
"""Of a gate: what it says, and the page of it."""
_NUMBERS = ("candidate", "champion", "difference", "low", "high", "p")
_STATUS: Mapping[str, Status] = {"stable": "FINISHED", "returned": "FAILED"}


def verdict(directory: epath.Path) -> list[Told]:
    """The verdict in WORKDIR/gates/MODEL/VERSION/NUMBER; [] where there is none."""
    manifest = artefacts.manifest(directory, "gate")
    found = artefacts.mapping(directory / VERDICT)
    if manifest is None or not {"model", "version", "findings", "passed"} <= found.keys():
        return []
    made = names.millis(manifest.created)
    name, version = str(found["model"]), int(found["version"])
    facts = {
        "podway.verdict": "passed" if found["passed"] else "not passed",
        "podway.problem": "" if found["passed"] else _against(found["findings"]),
        "podway.model_version": version,
        "podway.champion": found.get("champion"),
        "podway.label": found.get("label"),
        "podway.dataset": found.get("dataset"),
        "podway.examples": found.get("examples"),
        "podway.measured_by": found.get("by"),
        "podway.page": str(place.absolute(directory) / PAGE),
    }
    return [
        Told(
            kind="gate",
            name=name,
            version=place.of_folder("gate", directory).rpartition("/")[2],
            place=str(place.absolute(directory)),
            status="FINISHED",
            began=made,
            ended=made,
            parameters=names.parameters((manifest.config or {}).get("gate"), "gate"),
            tags=names.tags(facts),
            results=tuple(_measured(found, made)),
            of=key("run", name, manifest.inputs.get("run", "")),
        )
    ]


def rollouts(home: epath.Path) -> list[Told]:
    """All rollouts of the model in a folder, oldest first; [] where it had none."""
    try:
        history = store.history(home)
    except OnlineError:  # what wrote it is of another time; who operates it is told elsewhere
        return []
    found: dict[str, list[State]] = {}
    for state in history:
        found.setdefault(state.rollout, []).append(state)
    return [_rollout(home, states) for states in found.values()]


def _rollout(home: epath.Path, states: list[State]) -> Told:
    first, last = states[0], states[-1]
    run = place.run_of(home.parent.parent, last.model, last.version)
    facts = {
        "podway.state": last.phase,
        "podway.problem": last.reason,
        "podway.model_version": last.version,
        "podway.good_version": last.good,
        "podway.share": f"{last.share:.2%}",
        "podway.evidence": last.evidence,
    }
    return Told(
        kind="rollout",
        name=last.model,
        version=last.rollout,
        place=str(place.absolute(home) / store.OBSERVATIONS / last.rollout),
        status=_STATUS.get(last.phase, "RUNNING"),
        began=names.millis(first.begun),
        ended=names.millis(last.since) if last.is_over else None,
        parameters=names.parameters(codec.to_json(last.plan), "rollout"),
        tags=names.tags(facts),
        curve=tuple(
            Point(name, float(value), state.number, names.millis(state.since))
            for state in states
            for name, value in (("share", state.share), ("shadow", state.shadow))
        ),
        results=tuple(_seen(home, last)),
        of=key("run", last.model, run.name),
    )


def _against(findings: list[Mapping[str, Any]]) -> str:
    """What stands against a version, as the gate says it."""
    told = [
        f"{each.get('rule')}: {each.get('reason')}"
        for each in findings
        if each.get("outcome") not in ("passed", "skipped")
    ]
    return "; ".join(told) or "no rule could be judged"


def _measured(found: Mapping[str, Any], made: int) -> Iterator[Point]:
    yield Point("passed", float(found["passed"]), 0, made)
    for finding in found["findings"]:
        yield Point(f"{finding['rule']}/holds", float(_holds(finding)), 0, made)
        for part in _NUMBERS:
            if isinstance(finding.get(part), int | float):
                yield Point(f"{finding['rule']}/{part}", float(finding[part]), 0, made)


def _holds(finding: Mapping[str, Any]) -> bool:
    return finding.get("outcome") in ("passed", "skipped")


def _seen(home: epath.Path, last: State) -> Iterator[Point]:
    """What clients saw of both versions until this state, where that lies in the model's folder."""
    file = store.observations(home, last.rollout) / judgement.FILE
    try:
        found, _ = judgement.parse(file.read_text())
    except (OSError, ValueError, KeyError, TypeError):
        return
    when = names.millis(last.since)
    for name, value in _figures(found).items():
        yield Point(name, value, last.number, when)


def _figures(found: Judgement) -> dict[str, float]:
    figures = {"evidence": math.exp(min(found.log, 50.0))}
    for who, tally in (("new", found.new), ("old", found.old)):
        figures[f"{who}/requests"] = float(tally.requests)
        if tally.requests:
            figures[f"{who}/failed"] = tally.failed / tally.requests
        if tally.answered:
            figures[f"{who}/empty"] = tally.empty / tally.answered
        if tally.values:
            figures[f"{who}/value"] = tally.worth / tally.values
        if (slot := histogram.quantile(tally.latency, 0.95)) is not None:
            figures[f"{who}/p95_ms"] = 1000 * histogram.number(slot)
    return figures
