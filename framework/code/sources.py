"""Which sources an artefact's version hashes: the code that takes part in its computation.

A list per kind, by dotted names that begin with the room; a package stands for all its modules.
tests/framework/code/test_sources.py proves them complete: what the entries import, directly or not,
is either in the list or NEUTRAL. To these come the modules of the config parts themselves: of a
run, those of its model and what they import, and a user's file with the user's modules that it
imports and the files that these name.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from podway.framework.code import classes, imports, users
from podway.framework.error import ConfigError

Kind = Literal["dataset", "run", "evaluation", "model"]


def _of(room: str, modules: str) -> tuple[str, ...]:
    return tuple(f"{room}.{module}" for module in modules.split())


@dataclasses.dataclass(frozen=True)
class Sources:
    """What makes a kind of artefact.

    Attributes:
      entries: where its computation begins.
      modules: all that takes part in it.
      neutral: what these import and its content does not depend on, with the reason.
      parts: the fields of the Experiment whose classes' modules count, too.
    """

    entries: tuple[str, ...]
    modules: tuple[str, ...]
    neutral: dict[str, str]
    parts: tuple[str, ...]


NEUTRAL = {
    "framework.artifact": "how artefacts are written, and which one is taken",
    "framework.code": "finds classes and sources; those that it finds count",
    "framework.config.gate": "what a finished version must show",
    "framework.config.tracking": "where runs are told of",
    "framework.config.rollout": "how a model comes to its users",
    "framework.config.sweep": "what is tried; each trial is an experiment of its own",
    "framework.codec": "what it writes of a config stands in the version",
    "framework.devices.hardware": "what predictions go by; who computes asks the device itself",
    "framework.error": "sentences",
    "framework.exit_codes": "how a command ends",
    "framework.progress": "what a terminal shows",
    "framework.runs.bits": "whether a checkpoint is what was saved",
    "beam.error": "sentences",
    "export.error": "sentences",
}
"""What no artefact's content depends on."""

_EVALUATED = _of(
    "framework",
    """
    config devices.mesh embedding.lookup embedding.optimizer embedding.table evaluation formats
    heads input metrics runs.checkpoint runs.run schema task
    """,
)

SOURCES: dict[Kind, Sources] = {
    "dataset": Sources(
        entries=("beam.dataset", "beam.commit", "beam.steps.pipeline"),
        modules=(
            *_of("framework", "config.features schema"),
            *_of("beam", "commit dataset extension features formats paths place plan rejected"),
            "beam.steps",
            *_of("beam.statistics", "alike distinct ids numbers quantiles statistics"),
        ),
        neutral={
            "framework.config": "what its fields say stands in the version",
            "beam.engines": "how a pipeline is run",
            "beam.headers": "what the report says of raw files",
            "beam.steps.progress": "what a terminal shows",
            "beam.report": "the page of statistics",
        },
        parts=(),
    ),
    "run": Sources(
        entries=(
            *("framework.training.loop", "framework.training.fitting"),
            "framework.compression.convert",
        ),
        modules=(
            *_EVALUATED,
            *_of("framework", "compression.convert devices.sharding embedding"),
            *_of(
                "framework.training",
                "fitting gradient loop parent patience program sparse state step validation"
                " warm_start",
            ),
        ),
        neutral={
            "framework.models": "the model's own module counts, with what it imports",
            "framework.training.distributed": "how processes meet and end",
            "framework.training.norms": "tells how it went",
            "framework.training.flops": "what the utilisation is told by",
            "framework.devices.platforms": "what it may be computed on",
            "framework.runs.goodput": "tells where the time went",
            "framework.runs.profiling": "tells where the time went",
            "framework.runs.telemetry": "tells how it went",
            "framework.runs.lock": "who trains it",
            "framework.runs.records": "tells how it went",
            "framework.report": "pages",
        },
        parts=("model", "optimizer", "compression"),
    ),
    "evaluation": Sources(
        entries=("framework.comparison.evaluation",),
        modules=(
            *_EVALUATED,
            "framework.comparison.evaluation",
            *_of("framework.models", "parts.history parts.neighbours popularity sequence_knn"),
        ),
        neutral={
            "framework.report": "pages",
            "framework.runs.records": "what pages are made of",
        },
        parts=("model",),
    ),
    "model": Sources(
        entries=("export.stage",),
        modules=(
            *_of(
                "framework",
                """
                config devices.mesh embedding.lookup embedding.optimizer embedding.table formats
                heads input
                metrics schema task
                """,
            ),
            *_of("export", "cases contract graph jax_extras lowering served stage verification"),
        ),
        neutral={
            "framework.evaluation": "how it is evaluated",
            "export.layout": "where models lie",
            "export.signature": "who vouches for a model",
            "export.identity": "the model's version",
            "export.card": "a page",
            "export.silence": "what a terminal shows",
            "export.versions": "how a model is published, and which version serves",
        },
        parts=("model",),
    ),
}

PARTS = _of("framework", "models losses training.optimizer training.schedule compression")
"""What models and optimizers of the framework bring beside the lists."""


USER = "user:"
"""How the names of a user's sources begin."""
MODELS = "framework.models"
"""Neutral but for what the experiment's own model is of."""


def is_under(module: str, names: Iterable[str]) -> bool:
    """Whether a module is one of `names`, or in one of these packages."""
    return any(module == name or module.startswith(f"{name}.") for name in names)


def is_neutral(module: str, listed: Iterable[str], neutral: Iterable[str]) -> bool:
    """Whether a module is neutral: of a listed and a neutral package the inner one decides."""
    inner = [name for name in (*listed, *neutral) if is_under(module, [name])]
    return bool(inner) and max(inner, key=len) in neutral


def code(kind: Kind, part: Any) -> str:
    """Hash of the sources that make an artefact of this kind from a config part.

    Args:
      kind: of the artefact.
      part: the Experiment; of a dataset its Data.
    """
    digest = hashlib.sha256()
    for name, file in sorted(files(kind, part).items()):
        digest.update(f"{name}\0".encode())
        digest.update(users.content(file) if name.startswith(USER) else file.read_bytes())
    return digest.hexdigest()[:16]


def files(kind: Kind, part: Any) -> dict[str, pathlib.Path]:
    """The sources that make an artefact, by dotted name; a user's begin with "user:".

    Raises ConfigError: a user's class that no other process would find.
    """
    sources = SOURCES[kind]
    chosen = [getattr(part, name) for name in sources.parts] or [part]
    ours, found = set(sources.modules), dict[str, pathlib.Path]()
    entries = set[str]()
    raw = set(_raw(part))
    for each in {id(each): each for one in chosen for each in classes.parts(one)}.values():
        if classes.is_ours(type(each)):
            entries.add(imports.own(type(each).__module__) or "")
            continue
        theirs, used = _of_user(classes.place_of(type(each)), raw, set(classes.texts(each)))
        entries |= used
        found |= theirs
    if sources.parts:
        ours |= brought(kind, entries)
    listed = {name: file for each in ours for name, file in expand(each)}
    neutral = {*NEUTRAL, *sources.neutral} - {MODELS}
    return found | {
        name: file for name, file in listed.items() if not is_neutral(name, ours, neutral)
    }


def _raw(part: Any) -> Iterator[str]:
    """The paths of the raw data: what lies there is what a dataset's version says."""
    for data in (
        getattr(part, "data", part),
        *(each.data for each in getattr(part, "mixture", ())),
    ):
        yield data.path
        yield from (table.path for table in data.tables)


def brought(kind: Kind, entries: Iterable[str]) -> set[str]:
    """What modules of config parts bring beside a kind's list: they, and what they import."""
    sources = SOURCES[kind]
    neutral = {*NEUTRAL, *sources.neutral} - {MODELS}
    return imports.closure(
        entries, lambda module: is_under(module, sources.modules) or is_under(module, neutral)
    )


def _of_user(
    place: classes.Place, raw: set[str], fields: set[str]
) -> tuple[dict[str, pathlib.Path], set[str]]:
    """What counts of a user's class, whose fields say `fields`, over raw data that are `raw`."""
    package = place.module.split(".")[0] if place.installed else None
    try:
        found, ours = imports.beside(place.module, place.file, place.folder, package)
    except SyntaxError as error:
        raise ConfigError(f"{error.filename}:{error.lineno}: {error.msg}") from error
    named = users.named(found, fields, raw)
    return {f"{USER}{name}": file for name, file in (found | named).items()}, ours


def expand(name: str) -> Iterator[tuple[str, pathlib.Path]]:
    """A module and its file; of a package all of its modules."""
    file = imports.file_of(name)
    assert file is not None, name
    if file.name != "__init__.py":
        yield name, file
        return
    for source in sorted(file.parent.rglob("*.py")):
        parts = source.relative_to(file.parent).with_suffix("").parts
        yield ".".join([name, *(part for part in parts if part != "__init__")]), source
