"""Where in a user's config file a field is written, and what is wrong there."""

import ast
import contextlib
import dataclasses
import difflib
import pathlib
import re
import traceback
import types
from collections.abc import Iterator
from typing import Any

from podway.framework.code import imports, kinds, provenance
from podway.framework.error import ConfigError, PodwayError

_PATH = re.compile(r"(?<![\w./-])[a-z_]\w*(?:\[\d+\])?(?:\.[a-z_]\w*(?:\[\d+\])?)+")
_UNEXPECTED = re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")
_MISSING = re.compile(r"(\w+)\.__init__\(\) missing \d+ required positional arguments?: (.+)")


def paths(text: str) -> list[str]:
    """The fields that a sentence names, as "trainer.steps"; the experiment's own name, too."""
    own = ["name"] if text.startswith("name is ") else []
    return own + _PATH.findall(text)


def line_of(file: pathlib.Path, experiment: Any, text: str) -> int | None:
    """The line of a config file that sets the first field which a sentence names.

    None where it names none that stands there just once.
    """
    for path in paths(text):
        *above, field = path.split(".")
        owner = experiment
        for part in above:
            name, _, at = part.removesuffix("]").partition("[")
            owner = getattr(owner, name, None)
            if at and isinstance(owner, tuple):
                owner = owner[int(at)] if int(at) < len(owner) else None
        if dataclasses.is_dataclass(owner) and (line := line_of_field(file, type(owner), field)):
            return line
    return None


def line_of_field(file: pathlib.Path, cls: type, field: str) -> int | None:
    """The line of a file that sets a field of a class; None where there is not just one."""
    tree = ast.parse(file.read_bytes())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = [
        line
        for call in calls
        if ast.unparse(call.func).rpartition(".")[2] == cls.__name__
        and (line := _argument(call, cls, field))
    ]
    return found[0] if len(found) == 1 else None


def _argument(call: ast.Call, cls: Any, field: str) -> int | None:
    """The line of a call's argument for a field; `cls` may be anything."""
    for keyword in call.keywords:
        if keyword.arg == field:
            return keyword.lineno
    if isinstance(cls, type) and dataclasses.is_dataclass(cls):
        names = [each.name for each in dataclasses.fields(cls)]
        if field in names and names.index(field) < len(call.args):
            return call.args[names.index(field)].lineno
    return None


@contextlib.contextmanager
def explained(path: pathlib.Path) -> Iterator[None]:
    """An error in a user's file, or in one beside it, becomes a ConfigError with file and line.

    A package that is missing for a file of this project goes through.
    """
    try:
        yield
    except SyntaxError as error:
        raise ConfigError(f"{error.filename}:{error.lineno}: {error.msg}") from error
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        if isinstance(error, ImportError) and _is_of_project(frames):
            raise
        if str(error).startswith(str(path.parent)):  # it says where already
            raise
        raise ConfigError(_explain(error, path)) from error


def _explain(error: Exception, path: pathlib.Path) -> str:
    """What went wrong, behind the line of the user's file where it did."""
    walked = list(traceback.walk_tb(error.__traceback__))
    summaries = traceback.extract_tb(error.__traceback__)
    ours = [
        (frame, summary)
        for (frame, _), summary in zip(walked, summaries, strict=True)
        if pathlib.Path(summary.filename).is_relative_to(path.parent)
    ]
    sentence, fields = _sentence(error, [frame for frame, _ in walked])
    if not ours:
        return f"{path}: {sentence}"
    frame, summary = ours[-1]
    call = _call(summary)
    line = summary.lineno
    if call is not None:
        called = _called(call, frame)
        for field in fields:
            if found := _argument(call, called, field):
                line = found
                break
        if match := _UNEXPECTED.search(str(error)):
            sentence = f"{match[1]} has no field {match[2]!r}; {_hint(called, match[2])}"
        elif match := _MISSING.search(str(error)):
            sentence = f"{match[1]} needs {match[2]}, too"
    return f"{summary.filename}:{line}: {sentence}"


def _sentence(error: Exception, frames: list[types.FrameType]) -> tuple[str, list[str]]:
    """What an error says, and the fields that it may be of."""
    text = str(error)
    if isinstance(error, PodwayError):
        return text, [path.rpartition(".")[2] for path in paths(text)]
    for frame in reversed(frames):
        part = frame.f_locals.get("self")
        if frame.f_code.co_name != "__post_init__" or not dataclasses.is_dataclass(part):
            continue
        if misfit := next(kinds.misfits(part), None):
            return misfit.sentence, [misfit.field]
    fields = [match[2]] if (match := _UNEXPECTED.search(text)) else []
    return ": ".join([type(error).__name__, *text.splitlines()[:1]]), fields


def _call(summary: traceback.FrameSummary) -> ast.Call | None:
    """The call in a file at which a frame stands."""
    place = [
        getattr(summary, name, None) for name in ("lineno", "colno", "end_lineno", "end_colno")
    ]
    try:
        tree = ast.parse(pathlib.Path(summary.filename).read_bytes())
    except (OSError, SyntaxError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            at = [node.lineno, node.col_offset, node.end_lineno, node.end_col_offset]
            if at == place:
                return node
    return None


def _called(call: ast.Call, frame: types.FrameType) -> Any:
    """What a call in a frame calls, if it is found by its name."""
    first, *attributes = ast.unparse(call.func).split(".")
    found = {**frame.f_globals, **frame.f_locals}.get(first)
    for name in attributes:
        found = getattr(found, name, None)
    return found


def _hint(cls: Any, field: str) -> str:
    """Fields of a class that are like one that it has not."""
    if not dataclasses.is_dataclass(cls):
        return "leave it out"
    names = [each.name for each in dataclasses.fields(cls)]
    if close := difflib.get_close_matches(field, names, n=2):
        return f"perhaps you meant {' or '.join(close)}"
    return f"it has {', '.join(names)}" if names else "it has none"


def _is_of_project(frames: traceback.StackSummary) -> bool:
    """Whether the last file with a name, frozen parts of Python's left out, is of this project."""
    files = [pathlib.Path(frame.filename).resolve() for frame in frames if frame.filename[0] != "<"]
    rooms = [provenance.ROOT / room for room in imports.ROOMS]
    return any(files and files[-1].is_relative_to(room) for room in rooms)
