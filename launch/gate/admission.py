"""May a version serve now? What its verdict says, whether that still holds, and the gate as the
last stage of the chain. Only judging needs JAX or TensorFlow."""

from __future__ import annotations

from collections.abc import Callable

from etils import epath

from podway.export import layout
from podway.export.versions import promote as versions
from podway.framework import artifact
from podway.framework.artifact.upgrade import Choice
from podway.framework.config import Experiment
from podway.launch.gate import contender, record, text
from podway.launch.gate.contender import Options
from podway.launch.gate.error import GateError, NotPassed
from podway.launch.gate.finding import Verdict


def passed(workdir: epath.PathLike, model: str, version: int) -> Verdict | None:
    """The verdict by which a version may serve; None: there is none, or it may not.

    A verdict counts as long as the champion that it was held against is still the champion, or the
    version itself has taken its place. Raises ArtifactError: the verdict was altered.
    """
    found = record.latest(workdir, model, version)
    if found is None:
        return None
    verdict = record.read(found)
    return verdict if verdict.passed and not _outdated(verdict, workdir) else None


def has_gate(workdir: epath.PathLike, model: str, version: int) -> bool:
    """Whether a version was exported with a gate, or judged by one since.

    Raises ArtifactError: it is not there.
    """
    directory = layout.models(workdir) / model / str(version)
    manifest = artifact.read_manifest(directory, "model", manifest=layout.MANIFEST)
    judged = record.latest(workdir, model, version) is not None
    return judged or bool(manifest.details.get(layout.GATE))


def check(workdir: epath.PathLike, model: str, version: int) -> None:
    """Raises GateError or NotPassed unless a version that has a gate passed it."""
    if not has_gate(workdir, model, version) or passed(workdir, model, version) is not None:
        return
    command = f"`podway gate {model} {version} --workdir {workdir}`"
    force = "or force it with --without-gate, which the history will say"
    found = record.latest(workdir, model, version)
    if found is None:
        raise GateError(f"{model} {version} has a gate, and was not judged: run {command}, {force}")
    verdict = record.read(found)
    if not verdict.passed:
        raise NotPassed(
            f"{model} {version} did not pass its gate: {text.reasons(verdict)} (see"
            f" {found / record.PAGE}); export a better one, {force}"
        )
    was = "no champion" if verdict.champion is None else f"champion {verdict.champion}"
    now = contender.champion(model, workdir, verdict.label)
    raise GateError(
        f"{model} {version} passed its gate against {was}, and the champion is"
        f" {'none' if now is None else now} now: run {command} again, {force}"
    )


def promote(
    experiment: Experiment,
    published: epath.Path,
    workdir: epath.PathLike,
    code: Choice | None = None,
    tell: Callable[[str, epath.Path], None] = lambda kind, directory: None,
) -> epath.Path | None:
    """Judges a published version by the experiment's gate, if it has one, and promotes it if it
    passes.

    One that served before, and was taken back, is not served again by this. `tell` takes "gate" and
    the verdict's folder, and "registry" and the model's, for who keeps track of it.

    Returns the verdict's folder; None: there is no gate, or it serves already, without a verdict.
    Raises NotPassed.
    """
    if not experiment.gate.rules:
        return None
    from podway.launch.gate import gate  # needs JAX

    name, number, label = experiment.name, int(published.name), experiment.gate.label
    if contender.champion(name, workdir, label) == number:
        print(f"gate: {name} {number} serves already", flush=True)
        return record.latest(workdir, name, number)
    print(f"gate: judging {name} {number}", flush=True)
    verdict, directory = gate.judge(name, number, Options(workdir, code, experiment))
    tell("gate", directory)
    gate.say(verdict, directory)
    if contender.was_taken_back(name, number, workdir, label):
        print(
            f"gate: {name} {number} served before, and was taken back; `podway promote {name}"
            f" {number} --workdir {workdir}` serves it again"
        )
    else:
        print(versions.promote(name, number, workdir, label=label, gate="passed"))
        tell("registry", layout.models(workdir) / name)
    return directory


def _outdated(verdict: Verdict, workdir: epath.PathLike) -> bool:
    now = contender.champion(verdict.model, workdir, verdict.label)
    return now not in (verdict.champion, verdict.version)
