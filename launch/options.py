"""A verb's options, read from the command line; what cannot be read is said in one sentence.

tyro reads them. It draws a box where it cannot; by the hook that it has for that (of tyro 1.0.17,
not of its public interface: without it the box is drawn), the sentence takes the box's place.
"""

import contextlib
import errno
import importlib
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import tyro

from podway.framework import exit_codes
from podway.framework.code import writing
from podway.framework.config import Data, Experiment
from podway.framework.error import ConfigError, PodwayError
from podway.launch import fields
from podway.launch.refusal import HELP_ALL, Refusal, typed
from podway.launch.verbs.verb import Verb

_UNKNOWN = Experiment(name="NAME", data=Data(name="NAME", path="PATH"))
"""Stands for a CONFIG that was not given, where its fields are to be explained."""
_WITHOUT = (
    "\n\nThe fields of the model and of the optimizer are those of CONFIG: name one to see them."
)
_WORKDIR = "workdir"
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
_NAME = 4
"""Letters of a value that is taken for a name."""


class OptionError(PodwayError):
    """What stands on the command line cannot be; the message names the flag."""


def read(name: str, verb: Verb, chosen: list[str], overrides: list[str]) -> Any:
    """What a verb's `act` takes.

    Args:
      name: of the verb.
      verb: it.
      chosen: what it acts on.
      overrides: options as they were typed.

    Raises:
      OptionError: an option that there is not, a value that is none of its type, or one that does
        not fit the others.
      ConfigError: there is no such config, or something is wrong in its file.
      SystemExit: help was asked for, and is printed.
    """
    explain = HELP_ALL in overrides
    more = ""
    if explain and verb.of == "CONFIG" and not chosen:
        subject, more = {"experiment": _UNKNOWN}, _WITHOUT
    elif explain and not chosen:
        subject = verb.subject([str(word) for word in verb.of.split()])
    else:
        subject = verb.subject(chosen)
    try:
        default = verb.options(**subject, **verb.choose(overrides))
        with _refusing(name, verb, default, overrides):
            return tyro.cli(
                verb.options,
                default=default,
                prog=f"podway {name} {' '.join(chosen) or verb.of}",
                description=f"{verb.help}{verb.more}\n\nExample:  {verb.example}{more}",
                args=["--help"] if explain else overrides,
            )
    except ConfigError as error:
        raise OptionError(_with_flags(str(error), overrides)) from error


def located(error: PodwayError, verb: Verb, chosen: list[str], overrides: list[str]) -> str:
    """An error's sentence, behind the place that the field which it names was set at.

    That is an option, or a line of the user's config file; without either it stays as it is.
    """
    text = str(error)
    if getattr(error, "elsewhere", False):  # what it tells of has happened on another machine
        return text
    behind = _with_flags(text, overrides)
    if behind != text or verb.of != "CONFIG" or not chosen or not chosen[0].endswith(".py"):
        return behind
    file = pathlib.Path(chosen[0])
    if text.startswith((str(file), str(file.resolve()))):
        return text
    try:
        experiment = verb.subject(chosen)["experiment"]
        line = writing.line_of(file, experiment, text)
    except (PodwayError, OSError, SyntaxError):  # it was read a moment ago, and has changed
        return text
    return text if line is None else f"{file}:{line}: {text}"


def of_system(error: OSError, overrides: list[str]) -> str:
    """A sentence about what the operating system refused: what, where, and the remedy."""
    workdir = dict(typed(overrides)).get("--workdir", [_WORKDIR])[-1]
    file = str(error.filename or "")
    inside = not file or file == workdir or file.startswith(f"{workdir}/")
    where = f"--workdir {workdir}" + (f": {file}" if file not in ("", workdir) else "")
    reason = error.strerror or (os.strerror(error.errno) if error.errno else "")
    if error.errno in (errno.ENOSPC, errno.EDQUOT) and inside:
        return (
            f"{where}: the disk is full ({reason}); make room and give the same command"
            " again, or give another --workdir"
        )
    missing = error.errno == errno.ENOENT and file == workdir
    if (error.errno in _UNWRITABLE or missing) and file and inside:
        return f"{where}: it cannot be written ({reason}); give another --workdir"
    if exit_codes.is_denied(error):
        said = " ".join(str(error).split()).removesuffix(".")
        return f"{said}; grant the account that runs this the right to read and to write there"
    return f"{reason or error}{f': {file}' if file else ''}"


def _with_flags(text: str, overrides: list[str]) -> str:
    """A sentence behind the options that set the fields which it names."""
    named = set(writing.paths(text))
    given = [
        f"{flag} {' '.join(values)}".strip()
        for flag, values in typed(overrides)
        if flag.removeprefix("--").replace("-", "_") in named
        or (flag != "--workdir" and _quoted(values, text))
    ]
    given = [each for each in given if not text.startswith(each.partition(" ")[0])]
    return f"{', '.join(given)}: {text}" if given else text


def _quoted(values: list[str], text: str) -> bool:
    """Whether a sentence names what an option was given: a file, a version, a name."""
    (value,) = values if len(values) == 1 else ("",)
    word = rf"(?<![\w./-]){re.escape(value)}(?![\w/-])"
    return len(value) >= _NAME and not value.isdigit() and bool(re.search(word, text))


def hooks() -> Any:
    """tyro's module of the hook and its events; None: this tyro has none."""
    try:
        return importlib.import_module("tyro._errors")
    except ImportError:
        return None


@contextlib.contextmanager
def _refusing(name: str, verb: Verb, default: Any, overrides: list[str]) -> Iterator[None]:
    """Around tyro.cli: what it cannot read becomes an OptionError."""
    events = hooks()
    if events is None:
        yield
        return

    def hook(event: Any) -> None:
        refusal = Refusal(f"podway {name} {verb.of}", list(fields.of_value(default)), overrides)
        match event:
            case events.UnrecognizedArgs():
                raise OptionError(refusal.unknown(event.tokens))
            case events.InvalidChoice():
                given = [*event.choices]
                raise OptionError(refusal.choice(_flag(event.argument), event.value, given))
            case events.BadValue() if event.reason == "too_few_values":
                raise OptionError(refusal.missing(_flag(event.argument)))
            case events.InstantiationFailure() if event.argument is not None:
                raise OptionError(refusal.value(_flag(event.argument), event.message))
            case events.InstantiationFailure():
                raise OptionError(_with_flags(event.message, overrides))

    with events.on_parse_error(hook):
        yield


def _flag(argument: Any) -> str:
    return argument.display_name().partition("/")[0]
