"""The checks of a change: each is a command of its own, which anybody can repeat.

The experiment is frozen first, with what the command line changed, so that all commands are of the
same one. A check that needs another one, which failed, is left out.
"""

import dataclasses
import difflib
import json
import os
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from etils import epath

from podway.export import layout
from podway.framework import artifact, codec
from podway.framework.config import Experiment
from podway.framework.error import ConfigError
from podway.launch.targets import frozen

GATE = "gate, dry run"
_TAIL = 60
"""Lines of a failed command that are kept."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is checked.

    Attributes:
      name: what the experiment is called on the command line.
      workdir: for the artefacts, which are thrown away or kept by the caller.
      golden: file of the resolved experiment.
      topologies: pods that it must fit, "v5e:4x4".
      schema: file that declares what the dataset must be like; "": none.
      steps: of training.
      timeout: seconds that one command may take.
      champions: workdir of the model that serves, which the gate holds it against; "": none.
    """

    name: str
    workdir: pathlib.Path
    golden: pathlib.Path
    topologies: tuple[str, ...] = ()
    schema: str = ""
    steps: int = 20
    timeout: float = 3600.0
    champions: str = ""


@dataclasses.dataclass(frozen=True)
class Result:
    """Of one check.

    Attributes:
      check: its name.
      passed: None: it was left out.
      said: one line.
      seconds: that it took.
      command: that repeats it.
      output: the end of what a command printed, where that failed, or is worth a look.
    """

    check: str
    passed: bool | None
    said: str
    seconds: float = 0.0
    command: str = ""
    output: str = ""


def run(experiment: Experiment, sampled: Experiment, plan: Plan) -> Iterator[Result]:
    """The results, one after the other as they are known.

    Args:
      experiment: what the golden file is of.
      sampled: the same, of the data that are read here.
      plan: what is checked.
    """
    yield golden(experiment, plan)
    folder = plan.workdir / "experiment"
    for path, content in frozen.freeze(sampled).files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    config, short = str(folder / frozen.FILE), _short(sampled, plan.steps)
    declared = ["--check", "--schema", plan.schema] if plan.schema else []
    chain: list[tuple[str, list[str], Callable[[str], str]]] = [
        ("data", ["data", config, *declared], _counts),
        *(
            (f"preflight {each}", ["preflight", config, "--topology", each], _fits)
            for each in plan.topologies
        ),
        (f"train, {plan.steps} steps", ["train", config, *short], _loss),
        ("export", ["export", config, *short], _parity),
    ]
    failed = ""
    for name, command, said in chain:
        if failed:
            yield Result(name, None, f"left out, as {failed!r} failed")
            continue
        result = _command(name, command, plan, said)
        if not result.passed and not name.startswith("preflight"):
            failed = name
        yield result
    yield gate(sampled, config, plan, failed)


def gate(experiment: Experiment, config: str, plan: Plan, failed: str = "") -> Result:
    """What the gate would say of the version that was exported, with its table as the output.

    After so few steps it need not pass: what fails is a gate that cannot be run.
    """
    if failed:
        return Result(GATE, None, f"left out, as {failed!r} failed")
    if not experiment.gate.rules:
        return Result(GATE, None, "left out, as the experiment has no gate")
    home = layout.models(plan.workdir) / experiment.name
    version = max(int(each.name) for each in home.iterdir() if each.name.isdecimal())
    words = ["gate", experiment.name, f"{version}", "--dry-run", "--config", config]
    against = ["--champions", plan.champions] if plan.champions else []
    tables = list[str]()

    def said(printed: str) -> str:
        tables.append("\n".join(printed.splitlines()[-_TAIL:]))
        return _verdict(printed)

    found = _command(GATE, [*words, *against], plan, said)
    return dataclasses.replace(found, output=tables[0]) if tables else found


def golden(experiment: Experiment, plan: Plan) -> Result:
    """Whether the resolved experiment is what the golden file says."""
    found, command = resolved(experiment), f"podway ci {plan.name} --update"
    if not plan.golden.exists():
        said = f"{plan.golden} does not exist: write it, look at it, and commit it"
        return Result("golden", False, said, command=command)
    expected = plan.golden.read_text()
    if expected == found:
        return Result("golden", True, f"as {plan.golden} has it")
    try:
        difference = codec.difference(json.loads(found), json.loads(expected), "experiment")
    except ValueError:
        difference = f"{plan.golden} is no JSON"
    lines = difflib.unified_diff(
        expected.splitlines(), found.splitlines(), str(plan.golden), plan.name, lineterm=""
    )
    said = f"{difference or 'written otherwise'}: if that is meant, write the file anew"
    return Result("golden", False, said, command=command, output="\n".join(lines))


def update(experiment: Experiment, path: pathlib.Path) -> None:
    """Writes the golden file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    artifact.write_atomically(path, resolved(experiment))


def resolved(experiment: Experiment) -> str:
    """The experiment as its golden file has it: without the folder of this checkout."""
    stored = json.loads(frozen.freeze(experiment).files[frozen.FILE])
    return json.dumps(stored, indent=2, ensure_ascii=False) + "\n"


def _short(experiment: Experiment, steps: int) -> list[str]:
    from podway.launch import stages

    if stages.is_fitted(experiment):
        return []
    names = ("steps", "evaluate-every", "checkpoint-every", "log-every")
    values = (steps, steps, steps, max(steps // 4, 1))
    pairs = zip(names, values, strict=True)
    return [word for name, value in pairs for word in (f"--trainer.{name}", str(value))]


def _command(name: str, arguments: Sequence[str], plan: Plan, said: Callable[[str], str]) -> Result:
    words = [*arguments, "--workdir", str(plan.workdir)]
    began, printed = time.monotonic(), ""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "podway.launch.cli", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=os.environ | {"NO_COLOR": "1"},
            timeout=plan.timeout,
            check=False,
        )
        code, printed = done.returncode, done.stdout
        problem = _error(printed) or f"exit code {code}"
    except subprocess.TimeoutExpired as error:
        code, problem = None, f"took longer than {plan.timeout:.0f} s"
        printed = error.stdout.decode(errors="replace") if error.stdout else ""
    return Result(
        check=name,
        passed=code == 0,
        said=said(printed) if code == 0 else problem,
        seconds=time.monotonic() - began,
        command=" ".join(["podway", *words]),
        output="" if code == 0 else "\n".join(printed.splitlines()[-_TAIL:]),
    )


def _error(printed: str) -> str:
    found = re.findall(r"^podway: error: (.*)$", printed, re.MULTILINE)
    return found[-1] if found else _last(printed, r"^(DOES NOT FIT.*)$")


def _last(printed: str, pattern: str) -> str:
    found = re.findall(pattern, printed, re.MULTILINE)
    return found[-1] if found else ""


def _fits(printed: str) -> str:
    return _last(printed, r"^(predicted step .*)$") or _last(printed, r"^(FITS.*)$")


def _counts(printed: str) -> str:
    rows = re.findall(r"^ *(?:rows|users|items|events).*$", printed, re.MULTILINE)
    return _last(printed, r"^(check of .*)$") or "; ".join(
        " ".join(row.split()) for row in rows[:4]
    )


def _loss(printed: str) -> str:
    """The first and the last loss, of the run whose folder the command names at its end."""
    from podway.framework.runs import records

    said = _last(printed, r"^(train: .*)$")
    path = pathlib.Path(said.rpartition(": ")[2]) / "metrics.jsonl"
    losses = [
        (each["step"], each["loss"])
        for each in (records.read(epath.Path(path)) if path.exists() else ())
        if "loss" in each
    ]
    if not losses:
        return said
    (first, high), (last, low) = losses[0], losses[-1]
    return f"loss {high:.4f} at step {first}, {low:.4f} at step {last}"


def _verdict(printed: str) -> str:
    """What it was held against, and what the gate would say; without how far that is trusted."""
    said = _last(printed, r"^((?:NOT )?PASSED: .*)$").partition(" Intervals are of ")[0]
    against = _last(printed, r"^\S+ \d+ against ((?:no )?champion ?\d*)")
    return f"against {against}, after so few steps, it would say {said}" if said else ""


def _parity(printed: str) -> str:
    return _last(printed, r"(verified: .*)$") or _last(printed, r"^(export: .*)$")


def check_steps(steps: int) -> None:
    """Raises ConfigError: no step."""
    if steps < 1:
        raise ConfigError(f"--steps is {steps}; give 1 or more")
