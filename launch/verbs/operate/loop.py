"""`podway loop`: continuous training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from podway.framework import exit_codes
from podway.framework.error import PodwayError, check
from podway.launch.verbs.verb import Stage, Verb

if TYPE_CHECKING:
    from podway.launch.loop.record import Aside, Cycle


class CycleStopped(PodwayError):
    """A cycle that a check or the gate stopped; what serves is as it was."""

    exit_code = exit_codes.NOT_PASSED


@dataclasses.dataclass(frozen=True)
class Loop(Stage):
    """Options of `podway loop`; those of the experiment's `loop` say when a cycle begins."""

    once: bool = False
    """Look once, run the cycle that is due, and exit: for a CronJob. Exit code 3: a check or
    the gate stopped it."""
    poll: float = 300.0
    """Seconds between two looks."""
    server: str = ""
    """HOST:PORT of the gRPC of a server that watches models.config: a new version comes to users by
    a rollout. Without it all requests get it at once."""
    job_set: str = ""
    """With --once, in a pod: file of the JobSet that trains, as `podway launch retrain` renders it.
    All else is done here."""
    launch_name: str = ""
    """Of that JobSet. One of this name that is there already is followed, and not made anew."""
    dry_run: bool = False
    """Say what would be done, and do nothing."""
    status: bool = False
    """List the cycles, and the raw files that were set aside."""
    release: tuple[str, ...] = ()
    """Have raw files that failed a check read again: their paths or names, or patterns."""


def loop(options: Loop) -> None:
    """Looks for new raw files; each cycle goes from these to a served model, or is stopped."""
    from podway.launch.loop import loop as continuous
    from podway.launch.loop import record

    experiment, workdir = options.experiment, options.workdir
    check(
        bool(options.job_set) == bool(options.launch_name),
        "--job-set and --launch-name go together",
    )
    check(not options.job_set or options.once, "--job-set goes with --once")
    if options.release:
        for path in continuous.release(experiment, workdir, options.release):
            print(f"released: {path}")
    elif options.status:
        home = record.folder(experiment.name, workdir)
        print(status(record.cycles(home), record.asides(home)))
    elif options.dry_run:
        print(continuous.due(experiment, workdir))
    elif options.once:
        ended = continuous.once(experiment, workdir, options.server, _elsewhere(options))
        if ended is not None and ended.outcome == "stopped":
            raise CycleStopped(continuous.said(ended))
        if ended is not None:
            print(continuous.said(ended))
    else:
        continuous.forever(experiment, workdir, options.poll, options.server)


def _elsewhere(options: Loop) -> Callable[[Sequence[str]], None] | None:
    """Trains by a JobSet, if one is given."""
    if not options.job_set:
        return None
    from podway.launch.targets.kubernetes import handed

    job_set = handed.read(options.job_set, options.launch_name)
    return lambda overrides: handed.train(job_set, options.launch_name, overrides)


def status(cycles: tuple[Cycle, ...], asides: tuple[Aside, ...]) -> str:
    """The table of cycles, the latest last, and what was set aside."""
    from podway.framework.comparison.evaluation import aligned

    rows = [["cycle", "began", "why", "model", "outcome", ""]]
    for each in cycles:
        outcome = each.outcome or f"at {each.step}"
        model = "" if each.model is None else str(each.model)
        rows.append([str(each.number), each.began, each.why, model, outcome, each.reason])
    lines = [aligned(rows) if cycles else "no cycle yet"]
    lines += ["", "set aside (--release reads them again):"] * bool(asides)
    lines += [f"  {each.path}  cycle {each.cycle}: {each.reason}" for each in asides]
    return "\n".join(lines)


VERB = Verb(
    "continuous training: new data → checked, gated, served",
    Loop,
    loop,
    example="podway loop movielens_sasrec --once --workdir w",
)
