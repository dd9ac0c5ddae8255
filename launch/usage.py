"""What `--help` says: a screen for each verb, and one for all."""

import dataclasses
import re
import shutil
import textwrap
from typing import Any

from podway.framework.config import Experiment
from podway.launch import experiments, fields
from podway.launch.fields import Option
from podway.launch.verbs.verb import Chain, Verb

SCREEN = 40
"""Lines that a verb's help may take."""
OVERVIEW = 69
"""Lines that the list of all verbs may take."""
_WIDEST = 100
_COLUMN = 28
"""Where the texts of options begin."""

FAMILIES = {
    "launch": "elsewhere",
    "deploy": "serve it elsewhere",
    "features": "what the online store has of a dataset",
}
"""First words of verbs that have a second one → what they do."""

MEANING = {
    "CONFIG": "a name that `podway configs` lists, or a Python file with a function experiment()",
    "CONFIG|MODEL": "a config, as `podway configs` lists them, or the name of a published model",
    "RUN": "a run's folder, WORKDIR/runs/NAME/RUN",
    "RUN RUN": "two runs or more, their folders WORKDIR/runs/NAME/RUN, or names of experiments",
    "MODEL": "the name of a published model, as in WORKDIR/models/MODEL/VERSION",
    "MODEL VERSION": "the name of a published model and the number of its version",
    "MODEL [VERSION]": "the name of a published model, and the number of its version",
    "VERSION": "the number of a published version: `podway versions MODEL` lists them",
    "MODEL_DIR": "the folder of a published model, WORKDIR/models/MODEL/VERSION",
    "RUN|WORKDIR": "a run's folder, WORKDIR/runs/NAME/RUN, or a WORKDIR that holds runs/",
    "ARTEFACT": "a folder of an artefact, a version, MODEL:VERSION, or the path of a raw file",
    "LAUNCH": "the name of a launch, as `podway jobs` lists it",
}
"""What a verb acts on."""

_ALL = """usage: podway VERB CONFIG [options]      podway VERB --help explains a verb

Raw events to a served, verified model from one typed config.

{stages}

CONFIG is a name that `podway configs` lists, or a Python file with a function experiment().
RUN is a folder WORKDIR/runs/NAME/RUN, MODEL a name as in WORKDIR/models/MODEL/VERSION (MODEL_DIR).
Example:  podway run movielens_sasrec --trainer.steps 200 --workdir w"""


def of_all(stages: dict[str, dict[str, Verb]]) -> str:
    """The text of `podway --help`: the verbs, by stage of the chain."""
    lines = []
    for stage, verbs in stages.items():
        lines.append(f"{stage}:")
        if not lines[1:]:
            lines.append(f"  {'configs':<16} list the experiments")
        alone = {name: verb for name, verb in verbs.items() if _first(name) not in FAMILIES}
        lines += [f"  {name:<16} {verb.help}" for name, verb in alone.items()]
        for family in dict.fromkeys(_first(name) for name in verbs if name not in alone):
            members = ", ".join(_members(family, verbs))
            lines += textwrap.wrap(
                f"{f'{family} TARGET':<16} {FAMILIES[family]}: {members}",
                _WIDEST,
                initial_indent="  ",
                subsequent_indent=" " * 19,
                break_on_hyphens=False,
            )
    return _ALL.format(stages="\n".join(lines))


def of_family(family: str, verbs: dict[str, Verb]) -> str:
    """The text of `podway launch --help`: what may stand after it."""
    lines = [f"usage: podway {family} TARGET … [options]", "", f"{FAMILIES[family]}:"]
    for name in _members(family, verbs):
        lines.append(f"  {name:<16} {verbs[f'{family} {name}'].help}")
    return "\n".join([*lines, "", f"`podway {family} TARGET --help` explains one."])


def _first(name: str) -> str:
    return name.split(" ")[0]


def _members(family: str, verbs: dict[str, Verb]) -> list[str]:
    return [name.removeprefix(f"{family} ") for name in verbs if _first(name) == family]


def line(name: str, verb: Verb, chosen: list[str] | None = None) -> str:
    """How a verb is called."""
    return f"usage: podway {name} {' '.join(chosen or []) or verb.of} [options]"


def example(verb: Verb) -> str:
    """The verb's example; what is longer than a line goes on in the next, as in a shell."""
    lines = textwrap.wrap(
        f"Example:  {verb.example}",
        _WIDEST - 20,
        subsequent_indent=" " * 12,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return " \\\n".join(lines)


def of_verb(name: str, verb: Verb, chosen: list[str], overrides: list[str]) -> str:
    """The text of `podway VERB --help`: the verb's own options, as long as fits on a screen.

    What stands after the verb is not read, so that the answer is there at once.
    """
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    options = list(fields.of_class(verb.options, verb.choose(overrides), Experiment))
    shared = [f"--{field.name}" for field in dataclasses.fields(Chain)]
    options.sort(key=lambda option: option.flag in shared)
    head = [line(name, verb, chosen), "", f"{verb.help}{verb.more}", "", example(verb), ""]
    if verb.of == "CONFIG":
        tail = ["", *textwrap.wrap(_fields(), width)]
    else:
        tail = ["", "--help-all says more of each option."] if options else []
    text = ""
    for brevity in (_whole, _sentence, _clause):
        body = [part for option in options for part in _described(option, width, brevity)]
        text = "\n".join([*head, *(["options:", *body] if options else []), *tail])
        if text.count("\n") < SCREEN:
            break
    return text


def _fields() -> str:
    parts = [option.flag.removeprefix("--") for option in fields.of_class(Experiment, {}, type)]
    return (
        "Every field of the config is an option, too: --trainer.steps 200. --help-all explains"
        f" them, by group: {', '.join(parts)}."
    )


def _described(option: Option, width: int, brevity: Any) -> list[str]:
    kind = ".…" if option.part else f" {option.kind}".rstrip()
    flag = option.flag.replace("--", "--[no-]") if option.default is True else option.flag
    begin = f"  {flag}{kind}"
    said = brevity(option.text, width - _COLUMN)
    if option.default not in (None, "", False, True, ()) and not option.part:
        said += f" [{option.default}]"
    lines = textwrap.wrap(said, width - _COLUMN, break_on_hyphens=False) or [""]
    if len(begin) > _COLUMN - 2:
        return [begin, *(" " * _COLUMN + each for each in lines)]
    return [f"{begin:<{_COLUMN}}{lines[0]}", *(" " * _COLUMN + each for each in lines[1:])]


def _whole(text: str, _: int) -> str:
    return text


def _sentence(text: str, _: int) -> str:
    return re.split(r"(?<=[.)])\s(?=[A-Z`])", text, maxsplit=1)[0]


def _clause(text: str, width: int) -> str:
    """As much of the first sentence as is on one line: up to a colon, semicolon or comma."""
    text = _sentence(text, width)
    for mark in (r"[;:]\s", r"[;:,]\s"):
        if len(text) > width:
            text = re.split(mark, text, maxsplit=1)[0]
    return textwrap.shorten(text, width, placeholder=" …")


def of_configs() -> str:
    """The text of `podway configs`."""
    return "\n".join(f"{name:<24} {experiments.summary(name)}" for name in experiments.names())
