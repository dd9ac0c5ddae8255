"""From a run to users: export without serving, gate, rollout."""

import dataclasses

from etils import epath

from podway.export.versions import promote
from podway.framework.config import Experiment
from podway.launch import stages
from podway.launch.tracking import session


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a version may go on.

    Attributes:
      passed: it may.
      reason: why, or why not, in a sentence.
      directory: of the report; "": none.
    """

    passed: bool
    reason: str
    directory: str = ""


def export(experiment: Experiment, workdir: epath.PathLike) -> epath.Path:
    """Publishes the run's model. Returns the version's folder."""
    return stages.export(experiment, workdir, "keep")


def gate(experiment: Experiment, workdir: epath.PathLike, version: int) -> Verdict:
    """The gate's verdict. Raises GateError: the version cannot be judged."""
    if not experiment.gate.rules:
        return Verdict(True, "the experiment has no gate")
    from podway.launch.gate import gate as gates
    from podway.launch.gate import record, text
    from podway.launch.gate.contender import Options

    options = Options(workdir, "keep", experiment)
    found, directory = gates.judge(experiment.name, version, options)
    print((directory / record.TABLE).read_text(), end="", flush=True)
    session.teller().tell("gate", directory)
    return Verdict(found.passed, text.reasons(found), str(directory))


def roll_out(experiment: Experiment, workdir: epath.PathLike, version: int, server: str) -> Verdict:
    """Has a version serve: step by step where there is a server to ask and another version to go
    back to, else at once."""
    name = experiment.name
    served, unlabelled, _ = promote.read(name, workdir)
    if server and (served.labels.get("stable") or unlabelled) not in (None, version):
        from podway.launch.rollout import entry
        from podway.launch.rollout.labels import Labels

        target = Labels(name, workdir, server)
        tell = session.teller().tell
        last = entry.roll_out(name, version, experiment.rollout, target, workdir, tell=tell)
        session.moved(name, workdir)
        stays = last.phase == "stable"
        return Verdict(stays, "the rollout ended well" if stays else f"went back: {last.reason}")
    passed = "passed" if experiment.gate.rules else ""
    said = promote.promote(name, version, workdir, label=experiment.gate.label, gate=passed)
    session.moved(name, workdir)
    return Verdict(True, said)
