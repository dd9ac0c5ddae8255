"""Who imports whom, read from the sources without running them. Pure Python."""

import ast
import functools
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator

from podway.framework.code import provenance

ROOMS = ("framework", "beam", "export", "launch", "configs")
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

    `from a import b` gives "a" and "a.b", of which the second may be no module. What only a type
    checker imports is left out.

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
    return frozenset(found)


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


def beside(
    module: str, file: pathlib.Path, folder: pathlib.Path, package: str | None = None
) -> tuple[dict[str, pathlib.Path], set[str]]:
    """What a user's module leads to: the modules of its folder, itself included, and the project's.

    Args:
      module: its dotted name.
      file: where it is.
      folder: that its imports are looked for in.
      package: the only top-level name to look for, where the folder has all that is installed.

    Returns files by dotted name, and the names of the project's modules that these import.
    """
    found, ours, ahead = {}, set[str](), [(module, file)]

    def here(name: str) -> pathlib.Path | None:
        return file_of(name, folder)

    while ahead:
        name, path = ahead.pop()
        if name in found:
            continue
        found[name] = path
        for each in imported(name, path):
            first = each.split(".")[0]
            if mine := own(each):
                ours |= set(modules(mine))
            elif first not in sys.stdlib_module_names and package in (None, first):
                ahead += [(one, file_of(one, folder) or path) for one in modules(each, here)]
    return found, ours
