"""What checkpoints a run has, and whether each can be restored."""

import dataclasses
from collections.abc import Iterator

from etils import epath

from podway.framework.artifact.files import stat
from podway.framework.error import PodwayError
from podway.framework.runs import checkpoint


@dataclasses.dataclass(frozen=True)
class Entry:
    """One folder among a run's checkpoints.

    Attributes:
      name: the step; for one that was never finished, its folder.
      bytes: of its files.
      metrics: the validation metrics that were saved with it; None where one was not finite.
      problem: why it cannot be restored; empty where it can be.
    """

    name: str
    bytes: int
    metrics: dict[str, float | None]
    problem: str


def entries(run: epath.PathLike, *, read: bool = False) -> Iterator[Entry]:
    """The checkpoints of a run, by step, those that were never finished last.

    Args:
      run: its folder, runs/NAME/RUN.
      read: read every array, instead of what describes them alone.

    Raises CheckpointError where there is no such run.
    """
    folder = epath.Path(run) / "checkpoints"
    if not folder.exists():
        inside = sorted(path.parent.name for path in epath.Path(run).glob("*/checkpoints"))
        hint = f"; give one of those in it: {', '.join(inside)}" if inside else ""
        raise checkpoint.CheckpointError(f"{run} is no run: it has no folder `checkpoints`{hint}")
    found = [path for path in folder.iterdir() if path.is_dir()]
    finished = sorted((path for path in found if path.name.isdigit()), key=lambda p: int(p.name))
    for path in finished:
        metrics = checkpoint.metrics_of(folder, int(path.name))
        yield Entry(path.name, _size(path), metrics, _problem(path, read))
    for path in sorted(set(found) - set(finished)):
        aside = path.name.startswith(checkpoint.ASIDE)
        yield Entry(path.name, _size(path), {}, "damaged, set aside" if aside else "never finished")


def table(run: epath.PathLike, *, read: bool = False) -> str:
    """The entries as text, a line each."""
    lines = [f"{'step':>10}  {'MB':>9}  {'restorable':<10}  validation"]
    for entry in entries(run, read=read):
        metrics = "  ".join(_shown(name, value) for name, value in entry.metrics.items())
        restorable = "no" if entry.problem else "yes"
        note = entry.problem or metrics or "–"
        lines.append(f"{entry.name:>10}  {entry.bytes / 1e6:9.2f}  {restorable:<10}  {note}")
    if len(lines) == 1:
        lines.append("(none)")
    return "\n".join(lines)


def _shown(name: str, value: float | None) -> str:
    return f"{name} not finite" if value is None else f"{name} {value:.4f}"


def _size(path: epath.Path) -> int:
    return sum(
        _size(child) if child.is_dir() else stat(child).length
        for child in epath.Path(path).iterdir()
    )


def _problem(path: epath.Path, read: bool) -> str:
    missing = [item for item in checkpoint.ITEMS if not (path / item).exists()]
    if missing:
        return f"lacks {', '.join(missing)}: not a checkpoint of podway, or a part of one"
    try:
        checkpoint.load(path.parent, int(path.name), ("",) if read else ("step",))
    except PodwayError as error:
        return str(error)
    return ""
