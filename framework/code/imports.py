"""Who imports whom, read from the sources without running them. Pure Python."""

import ast
import functools
import importlib.util
import pathlib
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator

from podway.framework.code import provenance

ROOMS = ("framework", "beam", "export", "online", "launch", "configs")
"""The top-level folders of the project's sources."""
_PREFIX = __name__.partition("framework")[0]
"""What comes before a room's name in an import: nothing, or the package that holds the rooms."""


def file_of(module: str, folder: pathlib.Path | None = None) -> pathlib.Path | None:
    """The source file of a dotted name below a folder, the project's own without one; or None."""
    path = (folder or provenance.ROOT).joinpath(*module.split("."))
    for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
        if file.is_file():
            return file
    return None


def own(module: str) -> str | None:
    """The name of a module of the project, beginning with its room; None: it is none."""
    name = module.removeprefix(_PREFIX)
    return name if module.startswith(_PREFIX) and name.split(".")[0] in ROOMS else None


def imported(module: str, file: pathlib.Path) -> frozenset[str]:
    """Dotted names of all that a module imports, at its start or inside functions.

    `from a import b` gives "a" and "a.b", of which the second may be no module. A name in a call of
    `import_module` counts, where it stands there as text. What only a type checker imports is left
    out.

    Raises SyntaxError, which names file and line.
    """
    stat = file.stat()
    return _imported(module, file, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=4096)
def _imported(module: str, file: pathlib.Path, *_: int) -> frozenset[str]:
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    found = set()
    for node in _nodes(ast.parse(file.read_bytes(), str(file))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and (name := _name_in_call(node)):
            level = len(name) - len(name.lstrip("."))
            above = package[: len(package) - level + 1] if level else []
            found.add(".".join([*above, name[level:]]))
    return frozenset(found)


def _name_in_call(node: ast.Call) -> str | None:
    """The module that a call of `import_module` or `__import__` names, if it does so by a text."""
    called = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
    first = node.args[0] if node.args else None
    if called in ("import_module", "__import__") and isinstance(first, ast.Constant):
        return first.value if isinstance(first.value, str) else None
    return None


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """A tree's nodes, but for the bodies of `if TYPE_CHECKING`."""
    yield node
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        for child in node.orelse:
            yield from _nodes(child)
        return
    for child in ast.iter_child_nodes(node):
        yield from _nodes(child)


def modules(name: str, file: Callable[[str], pathlib.Path | None] = file_of) -> Iterator[str]:
    """The modules that importing a dotted name runs; packages only where they hold any code."""
    parts = name.split(".")
    for at in range(1, len(parts) + 1):
        above = ".".join(parts[:at])
        found = file(above)
        if found is not None and (found.name != "__init__.py" or _holds_code(found)):
            yield above


def _holds_code(file: pathlib.Path) -> bool:
    body = ast.parse(file.read_bytes(), str(file)).body
    return any(not isinstance(node, ast.Expr) for node in body)


def closure(entries: Iterable[str], stop: Callable[[str], bool] = lambda _: False) -> set[str]:
    """All modules of the project that some of its modules lead to, these included.

    Those that `stop` is true of are neither in it nor followed.
    """
    found, ahead = set[str](), list(entries)
    while ahead:
        module = ahead.pop()
        file = file_of(module)
        if module in found or file is None or stop(module):
            continue
        found.add(module)
        for name in filter(None, map(own, imported(f"{_PREFIX}{module}", file))):
            ahead += modules(name)
    return found


@functools.cache
def installed() -> set[pathlib.Path]:
    """The folders in which packages are installed."""
    found = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    return {pathlib.Path(each).resolve() for each in (*found, site.getusersitepackages())}


def folder_of(name: str) -> pathlib.Path | None:
    """Where on sys.path the user's top-level module or package of a name lies.

    None where there is none, and for what is installed, built in or compiled.
    """
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # a module that was made by hand
        return None
    if spec is None or name == "__main__":
        return None
    if spec.submodule_search_locations is not None:
        found = next(iter(spec.submodule_search_locations), None)
    else:
        found = spec.origin if spec.has_location and str(spec.origin).endswith(".py") else None
    if found is None:
        return None
    folder = pathlib.Path(found).resolve().parent
    return None if any(folder.is_relative_to(each) for each in installed()) else folder


def beside(
    module: str, file: pathlib.Path, folder: pathlib.Path, package: str | None = None
) -> tuple[dict[str, pathlib.Path], set[str]]:
    """What a user's module leads to: further modules of the user's, and the project's.

    The user's are those of its folder, and what else lies on sys.path without being installed.

    Args:
      module: its dotted name.
      file: where it is.
      folder: that its imports are looked for in first.
      package: the only top-level name to look for, where the folder has all that is installed.

    Returns files by dotted name, itself included, and the names of the project's modules that
    these import.
    """
    found, ours, ahead = {}, set[str](), [(module, file, folder)]
    while ahead:
        name, path, home = ahead.pop()
        if name in found:
            continue
        found[name] = path
        for each in imported(name, path):
            first = each.split(".")[0]
            if mine := own(each):
                ours |= set(modules(mine))
            elif first not in sys.stdlib_module_names and package in (None, first):
                ahead += _of_user(each, home, follow=package is None)
    return found, ours


def _of_user(
    name: str, home: pathlib.Path, *, follow: bool
) -> Iterator[tuple[str, pathlib.Path, pathlib.Path]]:
    """The user's modules that importing a name runs, with their files and folders.

    They are looked for in `home`, then, if they are to be followed, on sys.path.
    """
    first = name.split(".")[0]
    here = home
    if file_of(first, home) is None and not (home / first).is_dir() and follow:
        here = folder_of(first) or home
    for each in modules(name, lambda one: file_of(one, here)):
        if file := file_of(each, here):
            yield each, file, here
