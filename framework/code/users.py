"""What counts of a user's sources: all but `experiment()`, and the files that they name."""

import ast
import functools
import pathlib
from collections.abc import Iterator, Mapping

CONFIG = "experiment"
"""The function of a config file. What it returns stands in the version already."""


def content(file: pathlib.Path) -> bytes:
    """The bytes that count of a user's file.

    Of a module, all but a top-level function `experiment()` that nothing in it calls: so an edit of
    the config there is one of the config alone.
    """
    if file.suffix != ".py":
        return file.read_bytes()
    return _content(file.read_bytes())


@functools.lru_cache(maxsize=256)
def _content(source: bytes) -> bytes:
    tree = ast.parse(source)
    at = _config(tree)
    if at is None:
        return source
    lines = source.splitlines(keepends=True)
    return b"".join(line for number, line in enumerate(lines, start=1) if number not in at)


def _config(tree: ast.Module) -> range | None:
    """The lines of `experiment()`; None: there is none, or it is more than the config's."""
    found = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == CONFIG
    ]
    called = any(isinstance(node, ast.Name) and node.id == CONFIG for node in ast.walk(tree))
    if len(found) != 1 or called:
        return None
    (function,) = found
    first = min([function.lineno, *(one.lineno for one in function.decorator_list)])
    assert function.end_lineno is not None
    return range(first, function.end_lineno + 1)


def named(
    modules: Mapping[str, pathlib.Path], fields: set[str], raw: set[str]
) -> dict[str, pathlib.Path]:
    """The files that a user's code reads, so far as texts name them.

    Args:
      modules: files of the user's modules by dotted name; their texts are paths from where they
        lie.
      fields: texts of the config part; paths from the working directory.
      raw: paths of the raw data, which are the dataset's concern.
    """
    data = {pathlib.Path(text).absolute() for text in raw}
    texts = [(name, file.parent, text) for name, file in modules.items() for text in _texts(file)]
    texts += [("", pathlib.Path(), text) for text in fields]
    return {
        f"{name}:{text}": folder / text
        for name, folder, text in texts
        if _is_file(folder / text)
        and not text.endswith(".py")
        and text not in raw
        and (folder / text).absolute() not in data
    }


def _is_file(path: pathlib.Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a name, or with a character that none has
        return False


def _texts(module: pathlib.Path) -> frozenset[str]:
    stat = module.stat()
    return _texts_of(module, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=4096)
def _texts_of(module: pathlib.Path, *_: int) -> frozenset[str]:
    """What might name a file in a module, outside of `experiment()`."""
    tree = ast.parse(module.read_bytes(), str(module))
    lines = _config(tree) or range(0)
    body = [node for node in tree.body if node.lineno not in lines]
    found = {text for node in body for each in ast.walk(node) for text in _paths(each)}
    return frozenset(text for text in found if text and "\n" not in text)


def _paths(node: ast.AST) -> Iterator[str]:
    """The text of a constant, of `folder / "data" / "file"` and of `join(folder, "file")`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        yield "/".join(_divided(node))
    elif isinstance(node, ast.Call) and getattr(node.func, "attr", None) in ("join", "joinpath"):
        parts = [getattr(each, "value", None) for each in node.args]
        yield "/".join(part for part in parts if isinstance(part, str))


def _divided(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        yield from _divided(node.left)
        yield from _divided(node.right)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
