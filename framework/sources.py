"""Which sources an artefact's version hashes: the code that takes part in its computation.

A list per kind, by dotted names that begin with the room; a package stands for all its modules.
tests/framework/test_sources.py proves them complete: what the entries import, directly or not, is
either in the list or NEUTRAL. To these come the modules of the config parts themselves: of a run,
those of its model and what they import, and a user's file with those beside it.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable
from typing import Any, Literal

from framework import classes, imports
from framework.error import ConfigError

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
    "framework.artifact": "how artefacts are written",
    "framework.checksum": "how artefacts are written",
    "framework.local_store": "how artefacts are written",
    "framework.object_store": "how artefacts are written",
    "framework.provenance": "says where an artefact comes from",
    "framework.codec": "what it writes of a config stands in the version",
    "framework.classes": "finds the classes; their own modules count",
    "framework.imports": "finds the sources that count",
    "framework.sources": "says which sources count",
    "framework.upgrade": "chooses between artefacts",
    "framework.error": "sentences",
    "beam.error": "sentences",
    "export.error": "sentences",
}
"""What no artefact's content depends on."""

_EVALUATED = """
    checkpoint columns config dataset epochs evaluate features input interactions join judge
    label_metrics mesh metrics mixture next_item objectives packing placement ranking row_optimizer
    run schema slices table task transform
"""

SOURCES: dict[Kind, Sources] = {
    "dataset": Sources(
        entries=("beam.dataset", "beam.pipeline"),
        modules=(
            *_of("framework", "code_points features schema transform"),
            *_of(
                "beam",
                """
                arranging characters chunk codes columnar dataset delimited distinct extending
                extension facts fingerprint growing ids idx joining json_lines kcore numbering
                numbers parse pipeline plan read reading rejected rows shards sketch source split
                statistics stored summary transform transform_canonical transform_pixels
                transform_text vocabulary writing
                """,
            ),
        ),
        neutral={
            "framework.config": "what its fields say stands in the version",
            "beam.engine": "how a pipeline is run",
            "beam.run": "how a pipeline is run",
            "beam.progress": "what a terminal shows",
            "beam.page": "the page of statistics",
        },
        parts=(),
    ),
    "run": Sources(
        entries=("framework.trainer", "framework.fitting"),
        modules=_of(
            "framework",
            _EVALUATED
            + """
            capacity embedding embedding_plan exchange fitting gradient sharding start step trainer
            validation
            """,
        ),
        neutral={
            "framework.models": "the model's own module counts, with what it imports",
            "framework.distributed": "how processes meet and end",
            "framework.goodput": "tells where the time went",
            "framework.profiling": "tells where the time went",
            "framework.telemetry": "tells how it went",
            "framework.report": "the page of a run",
            "framework.flops": "what the utilisation is told by",
            "framework.hardware": "what the utilisation is told by",
        },
        parts=("model", "optimizer"),
    ),
    "evaluation": Sources(
        entries=("framework.comparison",),
        modules=(
            *_of("framework", f"{_EVALUATED} comparison"),
            *_of("framework.models", "catalogue neighbours popularity sequence_knn"),
        ),
        neutral={"framework.report": "the page of a run"},
        parts=("model",),
    ),
    "model": Sources(
        entries=("export.stage",),
        modules=(
            *_of(
                "framework",
                """
                code_points columns config dataset epochs features input join label_metrics mesh
                metrics mixture objectives packing ranking row_optimizer schema table task transform
                """,
            ),
            *_of(
                "export",
                """
                beside contract example_requests examples golden golden_filtered golden_raw
                golden_rows golden_times lookup lowered outside predict predictor
                predictor_signatures recommend reference saved_model sessions signature_methods
                signatures stablehlo stage target times transform transform_text verify verify_rows
                warmup
                """,
            ),
        ),
        neutral={
            "framework.next_item": "how it is judged",
            "export.layout": "where models lie",
            "export.model": "the model's version",
            "export.publish": "how a model is published",
            "export.quiet": "what a terminal shows",
            "export.versions": "which version serves",
        },
        parts=("model",),
    ),
}

PARTS = (
    "framework.models",
    *_of("framework", "losses losses_in_batch optimizer prediction row_batches"),
)
"""What models and optimizers of the framework bring beside the lists."""


def is_under(module: str, names: Iterable[str]) -> bool:
    """Whether a module is one of `names`, or in one of these packages."""
    return any(module == name or module.startswith(f"{name}.") for name in names)


def code(kind: Kind, part: Any) -> str:
    """Hash of the sources that make an artefact of this kind from a config part.

    Args:
      kind: of the artefact.
      part: the Experiment; of a dataset its Data.
    """
    digest = hashlib.sha256()
    for name, file in sorted(files(kind, part).items()):
        digest.update(f"{name}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def files(kind: Kind, part: Any) -> dict[str, pathlib.Path]:
    """The sources that make an artefact, by dotted name; a user's begin with "user:".

    Raises ConfigError: a user's class that no other process would find.
    """
    sources = SOURCES[kind]
    chosen = [getattr(part, name) for name in sources.parts] or [part]
    ours, found = set(sources.modules), dict[str, pathlib.Path]()
    entries = set[str]()
    for cls in {type(each) for one in chosen for each in classes.parts(one)}:
        if classes.is_ours(cls):
            entries.add(imports.own(cls.__module__) or "")
            continue
        theirs, used = _of_user(classes.place_of(cls))
        entries |= used
        found |= theirs
    if sources.parts:
        ours |= brought(kind, entries)
    return found | {name: file for each in ours for name, file in _expand(each)}


def brought(kind: Kind, entries: Iterable[str]) -> set[str]:
    """What modules of config parts bring beside a kind's list: they, and what they import."""
    sources = SOURCES[kind]
    neutral = {*NEUTRAL, *sources.neutral} - {"framework.models"}
    return imports.closure(
        entries, lambda module: is_under(module, sources.modules) or is_under(module, neutral)
    )


def _of_user(place: classes.Place) -> tuple[dict[str, pathlib.Path], set[str]]:
    package = place.module.split(".")[0] if place.installed else None
    try:
        found, ours = imports.beside(place.module, place.file, place.folder, package)
    except SyntaxError as error:
        raise ConfigError(f"{error.filename}:{error.lineno}: {error.msg}") from error
    return {f"user:{name}": file for name, file in found.items()}, ours


def _expand(name: str) -> Iterable[tuple[str, pathlib.Path]]:
    """A module and its file; of a package all of its modules."""
    file = imports.file_of(name)
    assert file is not None, name
    if file.name != "__init__.py":
        return [(name, file)]
    sources = sorted(file.parent.rglob("*.py"))
    return [(f"{name}/{each.relative_to(file.parent)}", each) for each in sources]
