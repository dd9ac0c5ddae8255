"""What teachers say of a dataset's examples, kept in files beside it, a file for each block.

A lesson is a column like the dataset's own: shuffled, cut and packed with them, so that batch i is
still a pure function of dataset, seed and i, and a resumed run reads the same targets. Files are
created once and whole; who finds one does not compute it again. The folder may be deleted when no
run reads it: it is made anew.
"""

import dataclasses
import io
import json
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from etils import epath

from podway.framework import artifact, progress
from podway.framework.error import PodwayError
from podway.framework.input.columns import Columns, Ragged
from podway.framework.input.dataset import Blocks, Dataset
from podway.framework.schema.schema import Feature, Schema

FOLDER = "lessons"
"""In a workdir."""
LESSON = "lesson"
"""The role of such a column."""
_LENGTHS = "lengths"
"""In a file: of lists, how many values each example has."""
_KEPT = "kept.npz"
"""In a folder: what belongs to no example."""


class LessonError(PodwayError, ValueError):
    """A file of lessons that cannot be read; the message names it."""


@dataclasses.dataclass(frozen=True)
class Lessons:
    """Columns that lie beside a dataset's own.

    Attributes:
      folder: where their files are.
      columns: their features.
    """

    folder: epath.Path
    columns: tuple[Feature, ...]


@dataclasses.dataclass(frozen=True)
class Taught(Dataset):
    """A dataset whose train split has lessons, too.

    Attributes:
      lessons: of one folder or several; the schema has them, too.
    """

    lessons: tuple[Lessons, ...]

    def blocks(self, split: str) -> Blocks:
        """Those of the train split with the lessons."""
        return _TaughtBlocks(self) if split == "train" else super().blocks(split)

    def folder_of(self, lesson: str) -> epath.Path:
        """Where the files of a lesson are."""
        (found,) = [
            each.folder
            for each in self.lessons
            if lesson in [feature.name for feature in each.columns]
        ]
        return found


class _TaughtBlocks(Blocks):
    def __init__(self, dataset: Taught):
        super().__init__(dataset, "train")
        self._folders = {
            feature.name: each.folder for each in dataset.lessons for feature in each.columns
        }

    def read(self, indices: np.ndarray, names: Sequence[str] | None = None) -> Columns:
        """See Blocks. All columns are the dataset's own, and the lessons."""
        own = None if names is None else [name for name in names if name not in self._folders]
        wanted = [name for name in self._folders if names is None or name in names]
        columns = super().read(indices, own) if own is None or own else {}
        parts = {
            folder: [_load(_file(folder, int(index))) for index in indices]
            for folder in {self._folders[name] for name in wanted}
        }
        for name in wanted:
            found = parts[self._folders[name]]
            values = np.concatenate([part[name] for part in found])
            if _LENGTHS in found[0]:
                lengths = np.concatenate([part[_LENGTHS] for part in found])
                columns[name] = Ragged(values, np.concatenate([[0], np.cumsum(lengths)]))
            else:
                columns[name] = values
        return columns if names is None else {name: columns[name] for name in names}


def teach(
    dataset: Dataset,
    folder: epath.Path,
    columns: tuple[Feature, ...],
    about: Mapping[str, object],
    compute: Callable[[int], Mapping[str, np.ndarray]],
) -> Taught:
    """The dataset with lessons, of which those that are not in the folder are computed; it may have
    others already.

    Args:
      dataset: whose train split is taught.
      folder: what lies there was computed in the same way; its name says so.
      columns: the lessons.
      about: what they are, for people.
      compute: number of a block → the columns' values, and of lists "lengths", [examples].
    """
    blocks = len(dataset.blocks("train").rows)
    artifact.create(folder / "about.json", json.dumps(about, indent=1).encode())
    # Several processes begin at different places, so that each computes its share.
    first = blocks * jax.process_index() // jax.process_count()
    missing = [
        block
        for block in (*range(first, blocks), *range(first))
        if not _file(folder, block).exists()
    ]
    if missing:
        with progress.shown("lessons", unit="block", total=blocks) as bar:
            bar.update(blocks - len(missing))
            for block in missing:
                if not _file(folder, block).exists():
                    artifact.create(_file(folder, block), _packed(compute(block)))
                bar.update()
    schema = Schema((*dataset.schema.features, *columns))
    before = dataset.lessons if isinstance(dataset, Taught) else ()
    found = (*before, Lessons(folder, columns))
    return Taught(dataset.directory, dataset.manifest, schema, found)


def _file(folder: epath.Path, block: int) -> epath.Path:
    return folder / f"{block:06}.npz"


def keep(folder: epath.Path, compute: Callable[[], Mapping[str, np.ndarray]]) -> None:
    """Keeps arrays that belong to no example beside the lessons, or finds them."""
    file = folder / _KEPT
    if not file.exists():
        artifact.create(file, _packed(compute()))


def kept(folder: epath.Path) -> dict[str, np.ndarray]:
    """Those arrays. Raises LessonError."""
    return _load(folder / _KEPT)


def _packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _load(file: epath.Path) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise LessonError(
            f"{file} has no lessons that can be read ({error}): delete it, and train again"
        ) from error
