"""Which versions of a model serve: promote, roll back, and what a new export does to both.

A request that names no label gets the highest version that models.config asks for; that is
TensorFlow Serving's rule. So what the config asks for is made of two things:

    the version without a label   what `export` published last, or `promote` without --label named;
                                  a version with a gate (launch/gate/) waits for `promote`
    the labels, each at a version

TensorFlow Serving refuses a config in which a label stands at a version that is not loaded, whole,
and without loading that version. So a label moves in two writes: one that asks for the version, and
one, once that version is AVAILABLE, that moves the label and lets go of what nobody asks for now.
Whatever kills this in between leaves the label where it was.

Each write is one turn among all who change what the workdir serves (export/versions/turn.py); no
turn lasts while a server is waited for, so what others did meanwhile is read again. Needs neither
TensorFlow nor JAX, unless it waits for a server.
"""

import dataclasses
from collections.abc import Callable, Mapping

from etils import epath

from podway.export import layout
from podway.export.error import ExportError
from podway.export.versions import history, models_config
from podway.export.versions.history import Action, Entry
from podway.export.versions.models_config import Served
from podway.export.versions.turn import turn
from podway.framework import artifact

VERIFIED = "verified"
"""In a manifest's details: the report of the verification that came before publication."""


@dataclasses.dataclass(frozen=True)
class Server:
    """A running server to wait for.

    Attributes:
      address: HOST:PORT of its gRPC.
      timeout: seconds that a version may take until it is AVAILABLE.
    """

    address: str
    timeout: float = 600.0


@dataclasses.dataclass(frozen=True)
class _Model:
    """A model as its files have it now."""

    name: str
    home: epath.Path
    config: epath.Path
    current: Served
    entries: tuple[Entry, ...]

    @property
    def unlabelled(self) -> int | None:
        """The version for requests without a label, were there no labels."""
        moved = [
            entry.target for entry in self.entries if not entry.label and entry.action != "load"
        ]
        if moved and moved[-1] in self.current.versions:
            return moved[-1]
        return max(self.current.versions, default=None)

    def at(self, label: str) -> int | None:
        """The version at which a label stands; "": the one without a label."""
        return self.current.labels.get(label) if label else self.unlabelled


@dataclasses.dataclass(frozen=True)
class _Move:
    """What is asked for: a label, or ("") what requests without one get, at a version.

    Attributes:
      action: that asks for it.
      label: that moves.
      version: where it goes; None: it is taken away.
      gate: what the history shall say of the version's gate.
      holds: raises ExportError where the model, as others left it, is not to be moved so.
    """

    action: Action
    label: str
    version: int | None
    gate: str = ""
    holds: Callable[[_Model], None] = lambda model: None


def serve_exported(name: str, version: int, workdir: epath.PathLike) -> None:
    """Has a version that was just published served to requests without a label. Labels stay."""
    _move(name, workdir, _Move("export", "", version), None)


def promote(
    name: str,
    version: int,
    workdir: epath.PathLike,
    *,
    label: str = "",
    server: Server | None = None,
    gate: str = "",
    loaded: bool = False,
) -> str:
    """Moves a label, or ("") what requests without one get, to a published version.

    `gate` is what the history shall say of the version's gate (history.Entry).

    The version's files are held against its manifest first, which takes as long as they take to be
    read; one that is known to be `loaded` is moved to at once.


    Without a server to ask, a label goes to a version that is not asked for yet in two calls: the
    first has it loaded.

    Returns what was done. Raises ArtifactError or ExportError for a version that is not there, was
    altered or never verified, or could not be loaded; then the config is as it was.
    """
    model = _published(name, workdir)
    if not loaded or version not in model.current.versions:
        check_admissible(model.home / str(version))
    return _move(name, workdir, _Move("promote", label, version, gate), server)


def rollback(
    name: str, workdir: epath.PathLike, *, label: str = "", server: Server | None = None
) -> str:
    """Moves a label, or ("") what requests without one get, back to where it was before.

    Called again it goes back further; of two at the same moment one is refused. A label that was
    not there before is taken away. Returns and raises as `promote` does.
    """
    earlier = history.earlier(_published(name, workdir).entries, label)
    if not earlier or (earlier[-1] is None and not label):
        what = f"label {label!r} has" if label else "requests without a label have"
        raise ExportError(
            f"{name}: {what} no earlier version; `podway versions {name}` lists those that there"
            f" are, and `podway promote {name} VERSION` serves one"
        )
    if (target := earlier[-1]) is not None:
        check_admissible(layout.models(workdir) / name / str(target))

    def holds(model: _Model) -> None:
        if history.earlier(model.entries, label) != earlier:
            raise ExportError(
                f"{_subject(name, label)} somewhere else by now: another process moved it at the"
                f" same time; look at `podway versions {name}`, and roll back again if need be"
            )

    return _move(name, workdir, _Move("rollback", label, target, holds=holds), server)


def withdraw(name: str, workdir: epath.PathLike, *, label: str) -> str:
    """Takes a label away, wherever it was before. Returns and raises as `promote` does."""
    _published(name, workdir)
    return _move(name, workdir, _Move("promote", label, None), None)


def check_admissible(directory: epath.Path) -> None:
    """Raises ArtifactError or ExportError unless a version is whole and was verified."""
    if not directory.exists():
        there = ", ".join(map(str, numbers(directory.parent))) or "none"
        raise ExportError(f"{directory} does not exist; the published versions are: {there}")
    manifest = artifact.read(directory, "model", manifest=layout.MANIFEST)
    if not manifest.details.get(VERIFIED):
        raise ExportError(
            f"{directory} was never verified: its manifest has no record of it; export it again"
        )


def numbers(home: epath.Path) -> list[int]:
    """The versions in a model's folder, rising, served or not."""
    names = [child.name for child in home.iterdir()] if home.is_dir() else []
    return sorted(int(name) for name in names if name.isdecimal())


def read(name: str, workdir: epath.PathLike) -> tuple[Served, int | None, tuple[Entry, ...]]:
    """What is served of a model, the version without a label, and what took place."""
    model = _published(name, workdir)
    return model.current, model.unlabelled, model.entries


def _model(name: str, workdir: epath.PathLike) -> _Model:
    home, config = layout.models(workdir) / name, layout.server_config(workdir)
    current = models_config.served(config, name)
    return _Model(name, home, config, current, history.read(home, current))


def _published(name: str, workdir: epath.PathLike) -> _Model:
    home = layout.models(workdir) / name
    if not numbers(home):
        parent = home.parent
        folders = parent.iterdir() if parent.exists() else ()
        others = ", ".join(sorted(folder.name for folder in folders if numbers(folder)))
        raise ExportError(
            f"no version of {name!r} is published in {parent} (--workdir); models there:"
            f" {others or 'none'}"
        )
    return _model(name, workdir)


def _move(name: str, workdir: epath.PathLike, move: _Move, server: Server | None) -> str:
    waited = server is None or not move.label or move.version is None
    while True:
        with turn(workdir):
            model = _model(name, workdir)
            move.holds(model)
            step = _step(model, move)
            if isinstance(step, str):
                return step
            if step.action == "load" or waited:
                _apply(model, step)
        if step.action != "load" and waited:
            if server is not None and not move.label and move.version is not None:
                _wait(model, workdir, step, server)
            return _report(name, step)
        if server is None:
            return (
                f"{name}: version {move.version} is asked for (step 1 of 2); {move.label!r} moves"
                " there when you run this again, once the server says that the version is"
                f" AVAILABLE. With --server HOST:PORT one run does both{_for_others(step)}"
            )
        _wait(model, workdir, step, server)
        waited = True  # where others have let go of the version meanwhile, all begins again


def _step(model: _Model, move: _Move) -> Entry | str:
    """The next change on the way, or what to say where nothing is left to do."""
    label, version, current = move.label, move.version, model.current
    origin = model.at(label)
    labels = {key: number for key, number in current.labels.items() if key != label}
    if label and version is not None:
        labels[label] = version
    base = model.unlabelled if label else version
    if base is not None and not label and move.action != "export":
        _check_highest(model.name, base, labels)
    asked = {*labels.values()} if base is None else {*labels.values(), base}
    wanted = Served(tuple(sorted(asked)), labels)
    if origin == version:
        if wanted != current:
            models_config.write(model.config, model.name, model.home, wanted, current)
        return f"{_subject(model.name, label)} already at version {version}"
    if label and version is not None and version not in current.versions:
        loading = Served(tuple(sorted({*current.versions, version})), current.labels)
        return history.entry("load", label, origin, version, current, loading, move.gate)
    return history.entry(move.action, label, origin, version, current, wanted, move.gate)


def _check_highest(name: str, version: int, labels: Mapping[str, int]) -> None:
    """Raises ExportError where a label keeps a higher version loaded, which would get all."""
    above = [f"{label} at {number}" for label, number in labels.items() if number > version]
    if above:
        raise ExportError(
            f"{name}: requests without a label go to the highest version that is loaded, and"
            f" {', '.join(above)} is above {version}; move that label first (`podway rollback"
            f" {name} --label …`), or let clients name a label"
        )


def _apply(model: _Model, step: Entry) -> None:
    """Writes down what will be done, and does it."""
    history.add(model.home, model.entries, step)
    models_config.write(model.config, model.name, model.home, step.after, step.before)


def _wait(model: _Model, workdir: epath.PathLike, step: Entry, server: Server) -> None:
    """Waits for a version; where it does not come, has the config ask for what it did before.

    Unless others have changed it meanwhile: then it is theirs.
    """
    from podway.export.versions import (
        status as model_status,  # needs gRPC and TensorFlow Serving's messages
    )

    assert step.target is not None
    try:
        model_status.wait(server.address, model.name, step.target, timeout=server.timeout)
    except BaseException:
        with turn(workdir):
            if models_config.served(model.config, model.name) == step.after:
                models_config.write(model.config, model.name, model.home, step.before, step.after)
        raise


def _subject(name: str, label: str) -> str:
    return f"{name}: {label!r} is" if label else f"{name}: requests without a label are"


def _report(name: str, done: Entry) -> str:
    what = f"label {done.label!r}" if done.label else "requests without a label"
    return f"{name}: {what}: {done.origin or '–'} → {done.target or '–'}{_for_others(done)}"


def _for_others(done: Entry) -> str:
    """Says where the move of a label leads the requests that name none."""
    highest = max(done.after.versions, default=None)
    if not done.label or highest == max(done.before.versions, default=None):
        return ""
    return f"; requests without a label go to the highest version, now {highest or '–'}"
