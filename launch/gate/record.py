"""Verdicts as artefacts: WORKDIR/gates/MODEL/VERSION/NUMBER, the highest number is what counts.

A verdict is measured, not computed: times differ from one to the next. So each has a folder of its
own, and its version says of what it is: the candidate, the champion, the rules, and the code.
"""

from __future__ import annotations

import functools
import hashlib
import json
import pathlib
from collections.abc import Iterator

from etils import epath

from podway.framework import artifact, codec
from podway.framework.config import Experiment, Gate
from podway.launch.gate import finding, page, text
from podway.launch.gate.contender import Contender
from podway.launch.gate.finding import Verdict

KIND = "gate"
VERDICT, TABLE, PAGE = "verdict.json", "table.txt", "report.html"


def home(workdir: epath.PathLike, model: str, version: int) -> epath.Path:
    """The folder of a version's verdicts."""
    return epath.Path(workdir) / "gates" / model / str(version)


def latest(workdir: epath.PathLike, model: str, version: int) -> epath.Path | None:
    """The folder of the verdict that counts; None: there is none."""
    folder = home(workdir, model, version)
    for number in reversed(_numbers(folder)):
        if artifact.exists(folder / str(number)):
            return folder / str(number)
    return None


def all_of(workdir: epath.PathLike) -> Iterator[epath.Path]:
    """The folders of all verdicts of a workdir: by model, version, and number."""
    for model in _children(epath.Path(workdir) / "gates"):
        for version in _numbers(model):
            for number in _numbers(model / str(version)):
                directory = model / str(version) / str(number)
                if artifact.exists(directory):
                    yield directory


def _children(folder: epath.Path) -> list[epath.Path]:
    children = folder.iterdir() if folder.is_dir() else ()
    return sorted((child for child in children if child.is_dir()), key=lambda child: child.name)


def _numbers(folder: epath.Path) -> list[int]:
    names = [child.name for child in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdecimal())


def read(directory: epath.Path) -> Verdict:
    """A verdict. Raises ArtifactError, ConfigError."""
    artifact.read(directory, KIND)
    return finding.from_json(json.loads((directory / VERDICT).read_text()))


def is_of(directory: epath.Path, version: str) -> bool:
    """Whether a verdict is of just these versions, rules and code."""
    return artifact.read_manifest(directory, KIND).version == version


def identity(
    gate: Gate, experiment: Experiment, candidate: Contender, champion: Contender | None
) -> tuple[dict, dict[str, str], str]:
    """What a verdict is of: config, inputs, version."""
    config = {
        "gate": codec.to_json(gate),
        "evaluation": codec.to_json(experiment.evaluation, versioned=True),
    }
    inputs = {"model": candidate.manifest.version, **candidate.manifest.inputs}
    if champion is not None:
        inputs["champion"] = champion.manifest.version
    inputs |= {"version": str(candidate.number)}
    inputs |= {"against": str(champion.number) if champion is not None else ""}
    version = artifact.version(kind=KIND, config=config, inputs=inputs, code=_code())
    return config, inputs, version


def write(
    verdict: Verdict,
    gate: Gate,
    experiment: Experiment,
    candidate: Contender,
    champion: Contender | None,
    workdir: epath.PathLike,
) -> epath.Path:
    """Commits a verdict, with its table and its page, under the next number."""
    config, inputs, version = identity(gate, experiment, candidate, champion)
    folder = home(workdir, verdict.model, verdict.version)
    number = max(_numbers(folder), default=0) + 1
    target = folder / str(number)
    with artifact.staging(target) as stage:
        (stage / VERDICT).write_text(codec.json_text(verdict.to_json(), indent=1) + "\n")
        (stage / TABLE).write_text(text.of(verdict) + "\n")
        (stage / PAGE).write_text(page.of(verdict))
        artifact.commit(
            stage,
            kind=KIND,
            name=verdict.model,
            version=version,
            config=config,
            inputs=inputs,
            code=_code(),
            details={
                "passed": verdict.passed,
                "version": verdict.version,
                "champion": verdict.champion,
                "label": verdict.label,
            },
        )
    return target


@functools.cache
def _code() -> str:
    """Hash of what measures and judges."""
    digest = hashlib.sha256()
    for path in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        digest.update(f"{path.name}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
