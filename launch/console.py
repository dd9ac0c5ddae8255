"""What the command prints, where not all of it can be shown, and where nobody reads it any more."""

import codecs
import contextlib
import logging
import os
import pathlib
import select
import sys
import traceback
import unicodedata
from collections.abc import Iterator
from typing import TextIO

from podway.framework.devices import cuda, libtpu
from podway.framework.exit_codes import UNREAD

_READABLE = {
    **dict.fromkeys("–−─━┄", "-"),
    **dict.fromkeys("│┃", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯", "+"),
    **dict.fromkeys("★·⊙", "*"),
    **{
        "×": "x",
        "÷": "/",
        "→": "->",
        "←": "<-",
        "↔": "<->",
        "↑": "^",
        "▶": ">",
        "▲": "^",
        "■": "#",
    },
    **{
        "≥": ">=",
        "≤": "<=",
        "≈": "~",
        "∞": "inf",
        "±": "+-",
        "√": "sqrt",
        "‖": "||",
        "⌊": "[",
        "⌋": "]",
    },
    "\ufeff": "",
    **{"—": "--", "‘": "'", "’": "'", "“": '"', "”": '"', "„": '"', "°": " deg", "λ": "lambda"},
}
"""Character → what is read in its place where the stream's encoding has none of it."""
_NAME = "podway.readable"


def readable(text: str) -> str:
    """ASCII that reads alike: "–" is "-", "é" is "e", "β" is "beta"; what is like none, "?"."""
    return "".join(map(_ascii, text))


def _ascii(character: str) -> str:
    if character in _READABLE or character.isascii():
        return _READABLE.get(character, character)
    parts = unicodedata.normalize("NFKD", character)
    if parts != character:
        return readable(parts)
    name = unicodedata.name(character, "")
    if name.startswith("GREEK"):
        return name.rpartition(" ")[2].lower()
    return "" if unicodedata.combining(character) else "?"


def _replace(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return readable(error.object[error.start : error.end]), error.end


codecs.register_error(_NAME, _replace)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR and _is_ours(record)


def _is_ours(record: logging.LogRecord) -> bool:
    """A filter: what Orbax's threads and tasks log with a traceback they raise too, and it is said
    once, in words."""
    trace = record.exc_info[2] if record.exc_info else None
    files = (frame.f_code.co_filename for frame, _ in traceback.walk_tb(trace))
    return not any("orbax" in pathlib.Path(file).parts for file in files)


def _unraisable(told: "sys.UnraisableHookArgs") -> None:
    """A write that failed (a full disk) is told to an event loop that Orbax has closed: the failure
    itself is raised, and this one nobody can act on."""
    if not (isinstance(told.exc_value, RuntimeError) and "loop is closed" in str(told.exc_value)):
        sys.__unraisablehook__(told)


def prepare_libraries() -> None:
    """Before TensorFlow and JAX are imported: they say errors alone, as the rest would bury what we
    say, and JAX does not look for a TPU where there is none, nor complain of a driver at length."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # A filter: TensorFlow sets the level when it is imported.
    logging.getLogger("absl").addFilter(_is_error)
    logging.getLogger("asyncio").addFilter(_is_ours)
    sys.unraisablehook = _unraisable
    libtpu.prepare()
    cuda.prepare()


def knows_all_characters() -> bool:
    """Whether stdout shows every character as it is."""
    return codecs.lookup(sys.stdout.encoding or "utf-8").name.startswith("utf")


@contextlib.contextmanager
def gentle() -> Iterator[None]:
    """Around a command: what it prints is never an error, and it ends quietly when unread."""
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) in ("strict", "backslashreplace"):
            getattr(stream, "reconfigure", lambda **_: None)(errors=_NAME)
    try:
        try:
            yield
        except SystemExit:
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except BrokenPipeError:
        streams = unread()
        if not streams:
            raise
        for stream in streams:  # the interpreter flushes both at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        sys.exit(UNREAD)


def unread() -> list[TextIO]:
    """Of stdout and stderr what is a pipe that nobody reads any more."""
    return [stream for stream in (sys.stdout, sys.stderr) if _is_unread(stream)]


def _is_unread(stream: TextIO) -> bool:
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # no file of the system's
        return False
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
