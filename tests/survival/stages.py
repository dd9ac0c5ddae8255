"""The stages that are struck: a command each, on the ground that the stages before it have made."""

import dataclasses
import hashlib
import json
import pathlib
import re
from collections.abc import Iterator

import pyarrow.parquet as pq

from podway.framework import artifact
from podway.framework.artifact import ArtifactError
from podway.framework.runs import records

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = """
import dataclasses, pathlib
from tests.launch import world

def experiment():
    base = world.shop(pathlib.Path({folder!r}))
    trainer = dataclasses.replace(base.trainer, steps=60, evaluate_every=20, checkpoint_every=10)
    return dataclasses.replace(base, trainer=trainer)
"""
CYCLES = """
import pathlib
from tests.launch.loop import days

def experiment():
    return days.shop(pathlib.Path({folder!r}))
"""
_MANIFESTS = {"manifest.json": None, "export.json": "model"}


@dataclasses.dataclass(frozen=True)
class Stage:
    """A command of the chain.

    Attributes:
      name: of the stage.
      words: after `podway`; {config}, {cycles}, {work} and {lists} stand for paths.
      after: the stage whose outcome it needs; "": none.
      reads: the kind of the artefact that it is made from; "": none.
      processes: whether it starts processes of its own.
      graph: whether TensorFlow reads the workdir.
    """

    name: str
    words: tuple[str, ...]
    after: str = ""
    reads: str = ""
    processes: bool = False
    graph: bool = False


_TO = ("--workdir", "{work}")
STAGES = {
    each.name: each
    for each in (
        Stage("data", ("data", "{config}", *_TO)),
        Stage(
            "data, 2 processes",
            ("data", "{config}", "--mode", "multi_processing", "--workers", "2", *_TO),
            processes=True,
        ),
        Stage("train", ("train", "{config}", *_TO), "data", "dataset"),
        Stage(
            "train, 4 processes",
            ("train", "{config}", "--num-processes", "4", *_TO),
            "data",
            "dataset",
            processes=True,
        ),
        Stage("evaluate", ("evaluate", "{config}", *_TO), "train", "run"),
        Stage("export", ("export", "{config}", *_TO), "evaluate", "run"),
        Stage("promote", ("promote", "shop", "1", *_TO), "export", "model"),
        Stage(
            "predict",
            ("predict", "shop", "--k", "4", "--output", "{lists}", *_TO),
            "export",
            "model",
            graph=True,
        ),
        Stage("compress", ("compress", "{config}", "--method", "int8", *_TO), "train", "run"),
        Stage("loop", ("loop", "{cycles}", "--once", *_TO)),
    )
}


def published(work: pathlib.Path) -> Iterator[tuple[pathlib.Path, str]]:
    """The folders of all artefacts that count as whole, and the paths of their manifests."""
    for name in _MANIFESTS:
        for path in sorted(work.rglob(name)):
            folder = path.parent.parent if name == "export.json" else path.parent
            if not any(part.startswith("_") for part in folder.relative_to(work).parts):
                yield folder, str(path.relative_to(folder))


def corrupt(work: pathlib.Path) -> list[str]:
    """What is wrong with artefacts that count as whole."""
    found = []
    for folder, manifest in published(work):
        try:
            kind = json.loads((folder / manifest).read_text())["kind"]
            artifact.read(folder, kind, manifest=manifest)
        except (ArtifactError, ValueError, KeyError) as error:
            found.append(f"{folder}: {error}")
    return found


def outcome(work: pathlib.Path) -> dict[str, str]:
    """What a stage leads to, in a form that is the same whenever it ran: to be compared."""
    found = {}
    for folder, manifest in published(work):
        content = json.loads((folder / manifest).read_text())
        key = f"{content['kind']} {content['name']} {content['version']}"
        found[key] = _OUTCOMES.get(content["kind"], _files)(folder, content)
    if (served := work / "models" / "models.config").exists():
        found[served.name] = _served(served, work / "models" / "shop")
    if lists := [*work.glob("lists.parquet"), *sorted(work.glob("lists/**/*.parquet"))]:
        rows = [row for path in lists for row in pq.read_table(path).to_pylist()]
        found["lists"] = _digest(repr(rows).encode())
    return found


def _served(config: pathlib.Path, home: pathlib.Path) -> str:
    """What serves, by what it is: a number that was given out is not used again, whatever came."""

    def is_of(number: re.Match) -> str:
        manifest = home / number[0] / "assets.extra" / "export.json"
        return json.loads(manifest.read_text())["version"] if manifest.exists() else "nothing"

    return re.sub(r"(?<=versions: )\d+|(?<=value: )\d+", is_of, config.read_text())


def _files(folder: pathlib.Path, content: dict) -> str:
    """All files but pages, which say when they were made."""
    kept = [each for each in content["files"] if pathlib.Path(each["path"]).suffix != ".html"]
    return _digest(json.dumps(kept, sort_keys=True).encode())


def _run(folder: pathlib.Path, content: dict) -> str:
    """Losses and validation metrics by step, and the parameters' bits."""
    from podway.framework.runs import run

    told = [
        (each["step"], name, value)
        for each in records.read(folder / records.METRICS)
        for name, value in sorted(each.items())
        if name == "loss" or name.startswith("validation/")
    ]
    arrays = run.load(folder)[2]
    bits = {name: _digest(array.tobytes()) for name, array in sorted(arrays.items())}
    return _digest(json.dumps([told, bits]).encode())


def _evaluation(folder: pathlib.Path, content: dict) -> str:
    return _digest((folder / "table.json").read_bytes() + (folder / "ranks.npz").read_bytes())


def _model(folder: pathlib.Path, content: dict) -> str:
    """The weights, and that they were verified."""
    verified = "verified" in str(content["details"].get("verified", ""))
    weights = [each for each in content["files"] if each["path"].startswith("variables/")]
    return f"{verified} {_digest(json.dumps(weights, sort_keys=True).encode())}"


def _report(folder: pathlib.Path, content: dict) -> str:
    """It is there, of this run; times in it are measured."""
    return json.dumps(content["inputs"], sort_keys=True)


_OUTCOMES = {
    "run": _run,
    "evaluation": _evaluation,
    "model": _model,
    "compression": _report,
    "gate": _report,
}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
