"""Experiments by name: the files of configs/, found without importing them, and a user's files."""

import ast
import difflib
import importlib
import pathlib
import types
from collections.abc import Callable
from typing import Any

from podway import configs
from podway.framework import codec
from podway.framework.code import classes, kinds, writing
from podway.framework.config import Experiment
from podway.framework.error import ConfigError
from podway.launch.targets import frozen

_FUNCTION = "experiment"
_FOLDER = pathlib.Path(configs.__file__).parent


def names() -> list[str]:
    """The experiments in configs/."""
    return sorted(path.stem for path in _FOLDER.glob("*.py") if path.stem != "__init__")


def is_config(name: str) -> bool:
    """Whether that is what `load` takes: a name in configs/, or a file."""
    return name.endswith((".py", ".json")) or name in names()


def summary(name: str) -> str:
    """The first line of an experiment's docstring."""
    docstring = ast.get_docstring(ast.parse((_FOLDER / f"{name}.py").read_text())) or ""
    return docstring.partition("\n")[0]


def load(name: str, *, without_model: bool = False) -> Experiment:
    """An experiment of configs/, of a Python file with a function `experiment()`, or a frozen one.

    `without_model` is said by who needs none: of a frozen one it may then be left out (see there).

    Raises ConfigError: there is none of that name, with a suggestion; or, with file and line, what
    is wrong in the file.
    """
    if name.endswith(".py"):
        return _load_file(pathlib.Path(name))
    if name.endswith(".json"):
        return frozen.read(pathlib.Path(name), without_model=without_model)
    if name not in names():
        raise ConfigError(f"there is no config {name!r}; {_suggestion(name)}")
    return importlib.import_module(f"podway.configs.{name}").experiment()


def _suggestion(name: str) -> str:
    path = pathlib.Path(name)
    if path.is_dir():
        return f"{name} is a folder: give a Python file with a function `experiment()`"
    if path.with_name(f"{path.name}.py").is_file():
        return f"for the file beside you write {name}.py"
    if path.is_file():
        return f"{name} is a file, but no Python file: a config is one, and ends in .py"
    near = difflib.get_close_matches(name, names(), n=1, cutoff=0.8)
    inside = [each for each in names() if name and name in each]
    near = near or sorted(inside, key=lambda each: (not each.startswith(f"{name}_"), each))
    near = near or difflib.get_close_matches(name, names(), n=3)
    if not near:
        return "`podway configs` lists them"
    more = f", or {len(near) - 4} more of `podway configs`" if len(near) > 4 else ""
    return f"perhaps you meant {', '.join(map(repr, near[:4]))}{more}"


def _load_file(path: pathlib.Path) -> Experiment:
    if not path.is_file():
        files = [each.name for each in path.parent.glob("*.py")] if path.parent.is_dir() else []
        close = difflib.get_close_matches(path.name, files, n=1)
        hint = f"; perhaps you meant {path.with_name(close[0])}" if close else ""
        raise ConfigError(f"there is no config file {path}{hint}")
    path = path.resolve()
    module = classes.load(path)
    function = _function(path, module)
    with writing.explained(path):
        found = function()
    if not isinstance(found, Experiment):
        line = getattr(getattr(function, "__code__", None), "co_firstlineno", 1)
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise ConfigError(f"{path}:{line}: experiment() returns {what}; return an Experiment")
    _check_types(path, found)
    _check_readable(path, found)
    return found


def _function(path: pathlib.Path, module: types.ModuleType) -> Callable[[], Any]:
    """`experiment` of a config file. Raises ConfigError: there is none, or there are two."""
    tree = ast.parse(path.read_bytes())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    lines = [node.lineno for node in functions if node.name == _FUNCTION]
    if len(lines) > 1:
        raise ConfigError(
            f"{path}:{lines[-1]}: experiment() is written twice, first on line {lines[0]}; keep one"
        )
    found = getattr(module, _FUNCTION, None)
    if isinstance(found, Experiment):
        line = next((node.lineno for node in tree.body if _FUNCTION in _assigned(node)), 1)
        raise ConfigError(
            f"{path}:{line}: experiment is an Experiment, but should be a function that returns"
            " it: write `def experiment(): return Experiment(…)`"
        )
    if not callable(found):
        others = [f"{node.name}()" for node in functions if not node.args.args]
        hint = f"; it has {', '.join(others)}: rename one" if others else ""
        raise ConfigError(f"{path} has no function `experiment()` that returns an Experiment{hint}")
    return found


def _assigned(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _check_types(path: pathlib.Path, experiment: Experiment) -> None:
    """Raises ConfigError, with the line, for the first field that holds what it should not."""
    for misfit in kinds.misfits(experiment, ""):
        line = writing.line_of_field(path, type(misfit.owner), misfit.field)
        where = path if line is None else f"{path}:{line}"
        raise ConfigError(f"{where}: {misfit.sentence}")


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
