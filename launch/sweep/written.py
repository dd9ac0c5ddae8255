"""The experiment that won, as a config file."""

import json
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from podway.framework import codec
from podway.framework.config import Experiment
from podway.framework.error import ConfigError, check
from podway.launch import experiments
from podway.launch.sweep import space
from podway.launch.targets import frozen


def check_place(path: str) -> None:
    """Raises ConfigError unless a config can be written there."""
    file = pathlib.Path(path)
    check(
        file.suffix in (".py", ".json"),
        f"--write {path}: give a file that ends in .py, or in .json for the whole tree",
    )
    check(file.parent.is_dir(), f"--write {path}: there is no folder {file.parent}; make it first")


def write(path: str, config: str, experiment: Experiment, why: str) -> None:
    """Writes an experiment to a file that commands take as CONFIG.

    Args:
      path: of a .py, which names what differs from `config`, or of a .json, the whole tree.
      config: that it is a variant of.
      experiment: it.
      why: what the .py's docstring says of it.

    Raises ConfigError.
    """
    file = pathlib.Path(path)
    if file.suffix == ".json":
        found = frozen.freeze(experiment)
        for name, content in found.files.items():
            place = file if name == frozen.FILE else file.parent / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        return
    source = pathlib.Path(config)
    name = str(source.resolve()) if source.suffix in (".py", ".json") else config
    text = _python(name, experiments.load(config), experiment, why)
    if not _is(text, experiment):
        raise ConfigError(
            f"--write {path}: what differs from {config} cannot be written as Python; give a file"
            " that ends in .json"
        )
    file.write_text(text)


def _python(config: str, base: Experiment, experiment: Experiment, why: str) -> str:
    found = list(codec.differences(codec.to_json(experiment), codec.to_json(base)))
    changes: dict[str, Any] = {}
    for path in (leaf for each, _, _ in found for leaf in _leaves(each, experiment, base)):
        place = path
        while place and not _is_plain(space.value_of(experiment, place)):
            place = place.rpartition(".")[0]
        changes[place or path] = space.value_of(experiment, place or path)
    lines = [f'"""{why}"""', "", "import dataclasses", "", "import podway", "", ""]
    lines += ["def experiment():", f'    """{config}, changed."""']
    lines += [f"    base = podway.experiment({json.dumps(config)})"]
    lines += [f"    return {_replaced('base', _nested(changes))}", ""]
    return "\n".join(lines)


def _leaves(path: str, experiment: Experiment, base: Experiment) -> Iterator[str]:
    """What differs below a path: of like steps of compression their fields."""
    ours, theirs = space.value_of(experiment, path), _value(base, path)
    pairs = isinstance(ours, tuple) and isinstance(theirs, tuple) and len(ours) == len(theirs)
    if not pairs or [type(each) for each in ours] != [type(each) for each in theirs]:
        yield path
        return
    for leaf in space.paths(ours, f"{path}."):
        if space.value_of(experiment, leaf) != _value(base, leaf):
            yield leaf


def _value(experiment: Experiment, path: str) -> Any:
    """What an experiment has there; something that equals nothing where it has no such field."""
    try:
        return space.value_of(experiment, path)
    except (AttributeError, IndexError, TypeError):
        return object()


def _is(text: str, experiment: Experiment) -> bool:
    """Whether a config file with this text is the experiment."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "written.py"
        file.write_text(text)
        try:
            return experiments.load(str(file)) == experiment
        except ConfigError:
            return False


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _nested(changes: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path, value in changes.items():
        *above, name = path.split(".")
        inner = found
        for part in above:
            inner = inner.setdefault(part, {})
        inner[name] = repr(value)
    return found


def _replaced(part: str, changes: Mapping[str, Any], indent: str = "        ") -> str:
    if all(name.isdigit() for name in changes):
        return _exchanged(part, changes, indent)
    lines = [f"dataclasses.replace(\n{indent}{part},"]
    for name, value in changes.items():
        inner = (
            _replaced(f"{part}.{name}", value, indent + "    ")
            if isinstance(value, dict)
            else value
        )
        lines.append(f"{indent}{name}={inner},")
    return "\n".join([*lines, f"{indent[4:]})"])


def _exchanged(part: str, changes: Mapping[str, Any], indent: str) -> str:
    """A tuple in which some parts are others."""
    pieces, after = [], 0
    for name, value in sorted(changes.items(), key=lambda pair: int(pair[0])):
        at = int(name)
        pieces += [f"*{part}[{after}:{at}]"] if at > after else []
        nested = isinstance(value, dict)
        pieces.append(_replaced(f"{part}[{at}]", value, indent + "    ") if nested else value)
        after = at + 1
    pieces.append(f"*{part}[{after}:]")
    inside = "".join(f"{indent}{piece},\n" for piece in pieces)
    return f"(\n{inside}{indent[4:]})"
