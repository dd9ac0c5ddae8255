"""Classes of config parts ↔ the names under which they are stored. Pure Python.

    "Rdatasets"           a class of this framework: its name and its base, which the field's
                          annotation says, are enough, wherever its file lies
    "my_file.py:Gru"      a user's class, in a file of the folder stored beside it as "from"
    "package.module:Gru"  a user's class in a package: an installed one, or one below "from"

Where files lie is stored, but no part of a version: the same code elsewhere is the same.
"""

import dataclasses
import hashlib
import importlib
import importlib.util
import pathlib
import pkgutil
import re
import sys
import types
from collections.abc import Iterator
from typing import Any

from podway.framework.code import imports, writing
from podway.framework.error import ConfigError, check

TYPE, FROM = "type", "from"
"""Keys beside a part's fields: the name of its class, and the folder of a user's class."""
_FRAMEWORK = __name__.rpartition(".code.")[0]
_LOADED: dict[pathlib.Path, types.ModuleType] = {}
"""The user's files that are modules under a name of our own."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a user's class is defined.

    Attributes:
      module: its dotted name, seen from `folder`.
      file: the source.
      folder: that goes to sys.path.
      installed: whether the folder is where packages are installed.
      alone: whether the module is a single file in the folder, rather than part of a package.
    """

    module: str
    file: pathlib.Path
    folder: pathlib.Path
    installed: bool
    alone: bool


def is_ours(cls: type) -> bool:
    """Whether a class is one of this framework."""
    return cls.__module__.startswith(f"{_FRAMEWORK}.")


def describe(cls: type) -> dict[str, str]:
    """TYPE and, for a user's class, FROM. Raises ConfigError: no other process would find it."""
    if is_ours(cls):
        return {TYPE: cls.__qualname__}
    place = place_of(cls)
    if place.installed:
        return {TYPE: f"{place.module}:{cls.__qualname__}"}
    module = place.file.name if place.alone else place.module
    return {TYPE: f"{module}:{cls.__qualname__}", FROM: str(place.folder)}


def place_of(cls: type) -> Place:
    """Where a user's class is defined. Raises ConfigError: no other process would find it."""
    name, module = cls.__module__, sys.modules.get(cls.__module__)
    check(
        "<locals>" not in cls.__qualname__,
        f"the class {cls.__qualname__.rpartition('.')[2]} is defined inside a function, where no"
        " other process finds it: define it at the top of its file",
    )
    given = vars(module).get("__file__") if module else None
    check(
        name != "__main__" and given is not None,
        f"the class {cls.__qualname__} is defined in {name}, where no other process finds it:"
        " define it in a module, or in the config file that `podway` is given",
    )
    file = pathlib.Path(str(given)).resolve()
    if file in _LOADED:
        return Place(file.stem, file, file.parent, False, True)
    depth = name.count(".") + (file.name == "__init__.py")
    folder = file.parents[depth]
    installed = folder in imports.installed()
    return Place(name, file, folder, installed, depth == 0 and not installed)


def find(base: type, name: str, folder: str | None, where: str) -> type:
    """The subclass of `base` that was stored so; `where` is the field that holds it.

    Raises ConfigError where there is none.
    """
    module, _, qualname = name.rpartition(":")
    if not module:
        # Older files have dotted names: "podway.framework.config.Rdatasets".
        return _ours(base, name.rpartition(".")[2], where)
    file = f"{folder}/{module}" if folder else module
    if module.endswith(".py"):
        path = pathlib.Path(folder or "", module)
        check(path.is_file(), f"{where} is a {qualname} of {path}, which is no longer there")
        found: Any = load(path)
    else:
        found = _import(module, folder, f"{where} is a {qualname} of {file}")
    for part in qualname.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type) or not issubclass(found, base):
        raise ConfigError(f"{where} is a {qualname} of {file}, which has no such {base.__name__}")
    return found


def _ours(base: type, name: str, where: str) -> type:
    if found := _known(base, name):
        return found
    for module, text in _homes(base):
        if re.search(rf"^class {re.escape(name)}\b", text, re.MULTILINE):
            importlib.import_module(module)
            if found := _known(base, name):
                return found
    raise ConfigError(f"{where}: there is no {base.__name__} called {name!r}")


def _known(base: type, name: str) -> type | None:
    found = (cls for cls in subclasses(base) if is_ours(cls) and cls.__qualname__ == name)
    return next(found, None)


def subclasses(base: type) -> Iterator[type]:
    """A class and all below it that are imported."""
    yield base
    for cls in base.__subclasses__():
        yield from subclasses(cls)


def _homes(base: type) -> Iterator[tuple[str, str]]:
    """The modules in which `base.subclasses_in` says that its subclasses are, with their texts."""
    home = getattr(base, "subclasses_in", None)
    spec = importlib.util.find_spec(f"{_FRAMEWORK}.{home}") if home else None
    if spec is None or spec.origin is None:
        return
    yield spec.name, pathlib.Path(spec.origin).read_text()
    for each in pkgutil.walk_packages(spec.submodule_search_locations or [], f"{spec.name}."):
        if file := imports.file_of(imports.own(each.name) or ""):
            yield each.name, file.read_text()


def parts(value: Any) -> Iterator[Any]:
    """All config parts in a config part, itself included."""
    if isinstance(value, tuple | list):
        for item in value:
            yield from parts(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield value
        for field in dataclasses.fields(value):
            yield from parts(getattr(value, field.name))


def texts(value: Any) -> Iterator[str]:
    """All texts in a config part."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from texts(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from texts(getattr(value, field.name))


def load(path: pathlib.Path) -> types.ModuleType:
    """A user's file as a module: one object per file, under a name that hides no other module.

    Its folder is put at the end of sys.path, so that it can import what lies beside it.

    Raises ConfigError, with file and line: what went wrong in it.
    """
    path = path.resolve()
    known = sys.modules.get(path.stem)
    if path in _LOADED:
        return _LOADED[path]
    if known is not None and vars(known).get("__file__") == str(path):
        return known
    name = f"_podway_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    _make_importable(str(path.parent))
    module = importlib.util.module_from_spec(spec)
    _LOADED[path] = sys.modules[name] = module
    try:
        with writing.explained(path):
            spec.loader.exec_module(module)
            _check_imports(path)
    except BaseException:
        del _LOADED[path], sys.modules[name]
        raise
    return module


def _import(module: str, folder: str | None, what: str) -> types.ModuleType:
    if folder:
        _make_importable(folder)
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigError(f"{what}, and there is no module {error.name!r}") from error
    file = pathlib.Path(str(found.__file__)).resolve()
    check(
        folder is None or file.is_relative_to(folder),
        f"{what}, but {module!r} is {file} here: rename one of them",
    )
    return found


def _make_importable(folder: str) -> None:
    if folder not in sys.path:
        sys.path.append(folder)


def _check_imports(path: pathlib.Path) -> None:
    """Raises ConfigError where a module beside a file is hidden by another one of its name."""
    found, _ = imports.beside(path.stem, path, path.parent)
    for name, file in found.items():
        if file == path or "." in name:
            continue
        module = sys.modules.get(name)
        spec = module.__spec__ if module else importlib.util.find_spec(name)
        origin = spec.origin if spec else None
        check(
            origin is None or pathlib.Path(origin).resolve() == file.resolve(),
            f"{path} means {file} by `import {name}`, and gets {origin}: rename the former",
        )
