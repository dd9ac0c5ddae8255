"""`podway gate`: judges a published version beside the champion."""

from __future__ import annotations

import dataclasses

from podway.framework.artifact.upgrade import Choice
from podway.framework.error import check as check_that
from podway.launch.tracking import session
from podway.launch.verbs.verb import Subject, Verb


@dataclasses.dataclass(frozen=True)
class Gate:
    """A version, and how it is judged."""

    model: Subject
    version: Subject = ""
    workdir: str = "workdir"
    """Folder of models/, runs/, datasets/, evaluations/ and gates/."""
    config: str = ""
    """Config whose gate and evaluation count: a name, or a Python file. Without it, the rules are
    those that the version was exported with."""
    label: str | None = None
    """The champion is the version at this label, rather than as the gate says."""
    again: bool = False
    """Judge anew where there is a verdict already: times are measured again."""
    dry_run: bool = False
    """Say what the verdict would be, keep none, and exit with 0 whatever it is."""
    champions: str = ""
    """With --dry-run: workdir of the champion, where it is another one."""
    code: Choice | None = None
    """Where an artefact that is needed was made by other code: keep it, or make it new."""


_MORE = """

MODEL VERSION is a published version, WORKDIR/models/MODEL/VERSION. Its champion is the version that
requests without a label get. Exits with 0 where it passed, and with 3 where it did not; the table,
verdict.json and report.html lie in WORKDIR/gates/MODEL/VERSION."""


def gate(options: Gate) -> None:
    """Judges, prints why, and raises NotPassed where the version may not serve."""
    check_that(
        options.version.isdecimal(),
        f"{options.version!r} is no version; give the number of one: `podway versions"
        f" {options.model} --workdir {options.workdir}` lists them",
    )
    from podway.launch import experiments
    from podway.launch.gate import gate as gates
    from podway.launch.gate import text
    from podway.launch.gate.contender import Options

    check_that(
        options.dry_run or not options.champions,
        "--champions is for --dry-run: a version is promoted in the workdir of its champion; give"
        " both, or neither",
    )
    told = Options(
        workdir=options.workdir,
        code=options.code,
        experiment=experiments.load(options.config) if options.config else None,
        label=options.label,
        again=options.again,
        champions=options.champions or None,
    )
    if options.dry_run:
        print(text.of(gates.rehearse(options.model, int(options.version), told)))
        return
    verdict, directory = gates.judge(options.model, int(options.version), told)
    with session.of_model(options.model, options.workdir, int(options.version)) as teller:
        teller.tell("gate", directory)
        gates.say(verdict, directory)


VERB = Verb(
    "may a version serve? It is judged beside the champion",
    Gate,
    gate,
    of="MODEL VERSION",
    more=_MORE,
    example="podway gate movielens_sasrec 2 --workdir w",
)
