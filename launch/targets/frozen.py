"""An experiment as files that another machine can run: its JSON, and the user's sources.

`podway train FOLDER/experiment.json` reads them back; what they make has the version that the
config would have made here.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from podway.framework import codec
from podway.framework.code import classes, imports, sources
from podway.framework.config import Experiment
from podway.framework.error import ConfigError

FILE = "experiment.json"
_OF_THE_MODEL = ("model", "optimizer")
"""Fields of the experiment that a dataset does not depend on, and whose classes import JAX."""


@dataclasses.dataclass(frozen=True)
class Frozen:
    """An experiment with all that it needs.

    Attributes:
      files: content by the path in the folder that holds them, experiment.json among them.
    """

    files: Mapping[str, bytes]

    @functools.cached_property
    def hash(self) -> str:
        """16 hex digits that change with any of the files."""
        return codec.content_hash({path: text.hex() for path, text in self.files.items()})

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))


def freeze(experiment: Experiment) -> Frozen:
    """The experiment's files. Raises ConfigError: a source that lies outside of the user's folder.

    The folders that the user's classes lie in become source0, source1, …
    """
    stored = codec.to_json(experiment)
    folders = {folder: f"source{at}" for at, folder in enumerate(sorted(_folders(stored)))}
    files = {FILE: json.dumps(_moved(stored, folders), indent=1).encode()}
    for path in _user_files(experiment):
        files[_place(path, folders)] = path.read_bytes()
    return Frozen(dict(sorted(files.items())))


def read(path: pathlib.Path, *, without_model: bool = False) -> Experiment:
    """The experiment of an experiment.json, with the sources beside it. Raises ConfigError.

    With `without_model` it has no model and no optimizer where the packages of these are not
    installed, as JAX is not where datasets are built.
    """
    try:
        stored = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path}: it is not the JSON of an experiment: {error}") from error
    home = path.resolve().parent
    placed = _placed(stored, home)
    try:
        return codec.from_json(Experiment, placed)
    except ModuleNotFoundError:
        if not without_model:
            raise
    rest = {key: part for key, part in placed.items() if key not in _OF_THE_MODEL}
    return codec.from_json(Experiment, rest)


def _folders(stored: Any) -> set[str]:
    if isinstance(stored, dict):
        here = {stored[classes.FROM]} if isinstance(stored.get(classes.FROM), str) else set()
        return here.union(*map(_folders, stored.values()))
    return set().union(*map(_folders, stored)) if isinstance(stored, list) else set()


def _moved(stored: Any, folders: Mapping[str, str]) -> Any:
    """With the new names of the folders."""
    if isinstance(stored, dict):
        return {
            key: folders[part] if key == classes.FROM and part in folders else _moved(part, folders)
            for key, part in stored.items()
        }
    return [_moved(part, folders) for part in stored] if isinstance(stored, list) else stored


def _placed(stored: Any, home: pathlib.Path) -> Any:
    """With folders that are relative to the file's own as absolute ones."""
    return _moved(stored, {folder: str(home / folder) for folder in _folders(stored)})


def _user_files(experiment: Experiment) -> list[pathlib.Path]:
    datas = [experiment.data, *(component.data for component in experiment.mixture)]
    found = [sources.files("dataset", data) for data in datas]
    found += [sources.files(kind, experiment) for kind in ("run", "evaluation", "model")]
    paths = {
        path.resolve()
        for files in found
        for name, path in files.items()
        if name.startswith(sources.USER)
    }
    # What is installed must be so on the other machine, too.
    return sorted(
        path
        for path in paths
        if not any(path.is_relative_to(folder) for folder in imports.installed())
    )


def _place(path: pathlib.Path, folders: Mapping[str, str]) -> str:
    for folder, name in folders.items():
        if path.is_relative_to(pathlib.Path(folder).resolve()):
            return f"{name}/{path.relative_to(pathlib.Path(folder).resolve()).as_posix()}"
    raise ConfigError(
        f"the experiment's code needs {path}, which lies in none of its folders"
        f" ({', '.join(folders)}): put it there, and name it from there"
    )
