"""The verbs that act on published models: promote, rollback, versions, export --check."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from podway.framework import artifact
from podway.framework.error import PodwayError
from podway.framework.error import check as check_that
from podway.launch.tracking import session
from podway.launch.verbs.verb import Subject, Verb

if TYPE_CHECKING:
    from podway.export.versions.promote import Server


@dataclasses.dataclass(frozen=True)
class Versions:
    """A model, and where it lies."""

    model: Subject
    workdir: str = "workdir"
    """Folder of models/."""


@dataclasses.dataclass(frozen=True)
class Move(Versions):
    """A model, where it lies, what moves, and the server that follows."""

    label: str = ""
    """Label to move (stable, canary, …), for clients that name one; without it what moves is what
    the others get."""
    server: str = ""
    """HOST:PORT of the gRPC of a server that watches models.config: wait until it says AVAILABLE,
    and only then move the label."""
    timeout: float = 600.0
    """Seconds to wait for the server."""


@dataclasses.dataclass(frozen=True)
class Promote(Move):
    """A version of a model, where it lies, what moves there, and the server that follows."""

    version: Subject = ""
    without_gate: bool = False
    """Promote a version that did not pass its gate, or was not judged; the history says so."""
    verify_with: str = ""
    """File of a public key (`podway keys`): promote the version only if it is signed by that key,
    as a server with --verify_models_with loads it."""


@dataclasses.dataclass(frozen=True)
class Check:
    """The folder of a published model."""

    directory: Subject


_PROMOTE = """

MODEL VERSION is a published version, WORKDIR/models/MODEL/VERSION; it must be whole and verified,
and have passed its gate, if it has one.
Servers that watch WORKDIR/models/models.config follow by themselves, without losing a request.
A label moves in two steps, as servers refuse one at a version that is not loaded: the version is
loaded, then the label moves. With --server one run does both."""

_ROLLBACK = """

What moves goes back to where it was before; run again, it goes back further. A label that was not
there before is taken away."""

_CHECK = """

MODEL_DIR is WORKDIR/models/MODEL/VERSION, or a copy of it anywhere. Its files are held against the
hashes in its manifest, and its graph, in a fresh process and offline, against its golden
requests."""


def promote(options: Promote) -> None:
    """Promotes a version."""
    from podway.export.versions import promote as versions

    check_that(
        options.version.isdecimal(),
        f"{options.version!r} is no version; give the number of one: `podway versions"
        f" {options.model} --workdir {options.workdir}` lists them",
    )
    if options.verify_with:
        _verify(options)
    done = versions.promote(
        options.model,
        int(options.version),
        options.workdir,
        label=options.label,
        server=_server(options),
        gate=_gate(options),
    )
    print(done)
    session.moved(options.model, options.workdir)


def _verify(options: Promote) -> None:
    """Raises ArtifactError or ExportError unless the version is signed, and as it was signed."""
    from podway.export import layout
    from podway.export.signature import signed
    from podway.export.signature.minisign import PublicKey

    key = PublicKey.read(options.verify_with)
    directory = layout.models(options.workdir) / options.model / options.version
    signed.check(directory, signed.place(directory), key)


def _gate(options: Promote) -> str:
    """What the history shall say of the version's gate. Raises GateError where it keeps it out."""
    from podway.export import layout
    from podway.export.versions import promote as versions
    from podway.launch.gate import admission

    number = int(options.version)
    at = options.workdir, options.model, number
    there = versions.numbers(layout.models(options.workdir) / options.model)
    if number not in there or not admission.has_gate(*at):
        return ""
    if options.without_gate:
        return "" if admission.passed(*at) else "forced"
    admission.check(*at)
    return "passed"


def rollback(options: Move) -> None:
    """Rolls back."""
    from podway.export.versions import promote as versions

    server = _server(options)
    print(versions.rollback(options.model, options.workdir, label=options.label, server=server))
    session.moved(options.model, options.workdir)


def show(options: Versions) -> None:
    """Prints the versions of a model and its history."""
    from podway.export import layout
    from podway.export.versions import promote as versions

    served, unlabelled, entries = versions.read(options.model, options.workdir)
    home = layout.models(options.workdir) / options.model
    rows = [("version", "published", "verified", "asked for", "labels")]
    for number in versions.numbers(home):
        try:
            manifest = artifact.read_manifest(home / str(number), "model", manifest=layout.MANIFEST)
            published = manifest.created
            verified = "yes" if manifest.details.get(versions.VERIFIED) else "no"
        except PodwayError:
            published = verified = "?"
        labels = [label for label, version in served.labels.items() if version == number]
        asked = "yes" if number in served.versions else ""
        rows.append((str(number), published, verified, asked, ", ".join(labels)))
    print(_table(rows))
    highest = max(served.versions, default=None)
    print(f"\nRequests without a label get version {highest or '–'}", end="")
    print("." if highest == unlabelled else f", which a label keeps above {unlabelled or '–'}.")
    if entries:
        print(f"\nhistory ({home / layout.HISTORY}):")
        lines = [("when", "what", "label", "from", "to")]
        for entry in entries:
            moved = (str(entry.origin or "–"), str(entry.target or "–"))
            what = f"{entry.action}, gate {entry.gate}" if entry.gate else entry.action
            lines.append((entry.when, what, entry.label or "–", *moved))
        print(_table(lines))


def check(options: Check) -> None:
    """Verifies a published model again. Raises ArtifactError, ExportError."""
    from podway.export import layout
    from podway.export.silence import silence_tensorflow

    directory = pathlib.Path(options.directory)
    if not directory.is_dir():
        raise PodwayError(f"MODEL_DIR {directory} is no folder; give WORKDIR/models/MODEL/VERSION")
    manifest = artifact.read(directory, "model", manifest=layout.MANIFEST)
    with silence_tensorflow():  # TensorFlow's native code greets
        from podway.export.verification import verify
    report = verify.in_fresh_process(directory.absolute())
    print(f"{directory}: {len(manifest.files)} files are as published; {report}")


def _server(options: Move) -> Server | None:
    from podway.export.versions import promote as versions

    check_that(options.timeout > 0, f"--timeout is {options.timeout:g}; give more than 0")
    return versions.Server(options.server, options.timeout) if options.server else None


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


PROMOTE = Verb(
    "have a published version serve, or a label name it",
    Promote,
    promote,
    of="MODEL VERSION",
    more=_PROMOTE,
    example="podway promote movielens_sasrec 2 --label canary --server localhost:8500 --workdir w",
)
ROLLBACK = Verb(
    "undo the last promotion or export",
    Move,
    rollback,
    of="MODEL",
    more=_ROLLBACK,
    example="podway rollback movielens_sasrec --workdir w",
)
VERSIONS = Verb(
    "published versions, what serves, and what took place",
    Versions,
    show,
    of="MODEL",
    example="podway versions movielens_sasrec --workdir w",
)
CHECK = Verb(
    "verify a published model again",
    Check,
    check,
    of="MODEL_DIR",
    more=_CHECK,
    example="podway export --check w/models/movielens_sasrec/2",
)
