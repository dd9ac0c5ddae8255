"""Experiments by name: the files of configs/, found without importing them, and a user's files."""

import ast
import difflib
import importlib
import pathlib

from podway import configs
from podway.framework import codec
from podway.framework.code import classes
from podway.framework.config import Experiment
from podway.framework.error import ConfigError, check

_FOLDER = pathlib.Path(configs.__file__).parent


def names() -> list[str]:
    """The experiments in configs/."""
    return sorted(path.stem for path in _FOLDER.glob("*.py") if path.stem != "__init__")


def summary(name: str) -> str:
    """The first line of an experiment's docstring."""
    docstring = ast.get_docstring(ast.parse((_FOLDER / f"{name}.py").read_text())) or ""
    return docstring.partition("\n")[0]


def load(name: str) -> Experiment:
    """An experiment of configs/, or of a Python file with a function `experiment()`.

    Raises ConfigError: there is none of that name, with a suggestion; or, with file and line, what
    is wrong in the file.
    """
    if name.endswith(".py"):
        return _load_file(pathlib.Path(name))
    if name not in names():
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"perhaps you meant {close[0]!r}" if close else "`podway configs` lists them"
        raise ConfigError(f"there is no config {name!r}; {hint}")
    return importlib.import_module(f"podway.configs.{name}").experiment()


def _load_file(path: pathlib.Path) -> Experiment:
    check(path.is_file(), f"there is no config file {path}")
    path = path.resolve()
    module = classes.load(path)
    function = getattr(module, "experiment", None)
    check(callable(function), f"{path} has no function `experiment()` that returns an Experiment")
    assert function is not None
    with classes.explained(path):
        found = function()
    if not isinstance(found, Experiment):
        line = getattr(getattr(function, "__code__", None), "co_firstlineno", 1)
        raise ConfigError(
            f"{path}:{line}: experiment() returns a {type(found).__name__}; return an Experiment"
        )
    _check_readable(path, found)
    return found


def _check_readable(path: pathlib.Path, experiment: Experiment) -> None:
    """Raises ConfigError unless a later command can read back what is stored of an experiment.

    Before anything is built: a run whose model nobody finds again would be lost.
    """
    try:
        stored = codec.to_json(experiment)
        found = codec.from_json(Experiment, stored)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    if found != experiment:
        what = codec.difference(codec.to_json(found), stored) or "a part is equal to no copy of it"
        raise ConfigError(
            f"{path}: what is stored of experiment() is not what is read back: {what}; give config"
            " parts plain fields and @dataclasses.dataclass(frozen=True)"
        )
