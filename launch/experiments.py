"""Experiments by name: the files of configs/, found without importing them."""

import ast
import difflib
import importlib
import pathlib
import runpy

from podway import configs
from podway.framework.config import Experiment
from podway.framework.error import ConfigError

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

    Raises ConfigError with a suggestion where there is none of that name.
    """
    if name.endswith(".py"):
        return _load_file(pathlib.Path(name))
    if name not in names():
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"perhaps you meant {close[0]!r}" if close else "`podway configs` lists them"
        raise ConfigError(f"there is no config {name!r}; {hint}")
    return importlib.import_module(f"podway.configs.{name}").experiment()


def _load_file(path: pathlib.Path) -> Experiment:
    if not path.exists():
        raise ConfigError(f"there is no config file {path}")
    found = runpy.run_path(str(path))
    if "experiment" not in found:
        raise ConfigError(f"{path} has no function `experiment()` that returns an Experiment")
    return found["experiment"]()
