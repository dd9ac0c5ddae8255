"""The gate as the last stage of the chain: what was published serves if it passes."""

from __future__ import annotations

from etils import epath

from podway.export.versions import promote as versions
from podway.framework.artifact.upgrade import Choice
from podway.framework.config import Experiment
from podway.launch.gate import contender, gate, record
from podway.launch.gate.options import Options


def promote(
    experiment: Experiment,
    published: epath.Path,
    workdir: epath.PathLike,
    code: Choice | None = None,
) -> epath.Path | None:
    """Judges a published version by the experiment's gate, if it has one, and promotes it if it
    passes.

    One that served before, and was taken back, is not served again by this.

    Returns the verdict's folder; None: there is no gate, or it serves already, without a verdict.
    Raises NotPassed.
    """
    if not experiment.gate.rules:
        return None
    name, number, label = experiment.name, int(published.name), experiment.gate.label
    if contender.champion(name, workdir, label) == number:
        print(f"gate: {name} {number} serves already", flush=True)
        return record.latest(workdir, name, number)
    print(f"gate: judging {name} {number}", flush=True)
    verdict, directory = gate.judge(name, number, Options(workdir, code, experiment))
    gate.say(verdict, directory)
    if contender.was_taken_back(name, number, workdir, label):
        print(
            f"gate: {name} {number} served before, and was taken back; `podway promote {name}"
            f" {number} --workdir {workdir}` serves it again"
        )
    else:
        print(versions.promote(name, number, workdir, label=label, gate="passed"))
    return directory
