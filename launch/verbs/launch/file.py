"""A target in a Python file of its own: `podway launch pod.py CONFIG`."""

import argparse
import pathlib
from typing import Any

from podway.framework.code import classes, writing
from podway.framework.error import ConfigError, check

_FUNCTION = "target"
KINDS = {
    "CloudRunJob": "cloud-run",
    "Kubernetes": "kubernetes",
    "Machines": "machines",
    "Queue": "queue",
}
"""Class of a target → the verb that launches on it."""


def load(path: pathlib.Path, kind: type | None = None) -> Any:
    """What a file's `target()` returns, of a kind. Raises ConfigError."""
    check(path.is_file(), f"there is no target file {path}")
    module = classes.load(path)
    function = getattr(module, _FUNCTION, None)
    if not callable(function):
        hint = ""
        if hasattr(module, "experiment"):
            hint = f"; it is a config, so name a target first: `podway launch kubernetes {path}`"
        raise ConfigError(f"{path} has no function `target()` that returns a target{hint}")
    with writing.explained(path):
        found = function()
    if kind is not None and not isinstance(found, kind):
        raise ConfigError(f"{path}: target() returns a {type(found).__name__}, no {kind.__name__}")
    return found


def chosen(overrides: list[str], kind: type) -> dict[str, Any]:
    """Defaults of a verb: the target that --target-file names."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--target-file", nargs="?")
    path = parser.parse_known_args(overrides)[0].target_file
    return {"target": load(pathlib.Path(path), kind)} if path else {}


def rewritten(arguments: list[str]) -> list[str]:
    """`launch FILE CONFIG …` as `launch KIND CONFIG … --target-file FILE`. Raises ConfigError."""
    path = arguments[1]
    kind = type(load(pathlib.Path(path))).__name__
    if kind not in KINDS:
        raise ConfigError(f"{path}: target() returns a {kind}; return one of {', '.join(KINDS)}")
    return ["launch", KINDS[kind], *arguments[2:], "--target-file", path]
