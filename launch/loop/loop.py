"""Again and again: look, and where it is time, a cycle. One loop at a time."""

import datetime
import fnmatch
import time
from collections.abc import Callable, Sequence

from etils import epath

from podway.framework import artifact
from podway.framework.config import Experiment
from podway.framework.error import PodwayError
from podway.framework.runs import lock
from podway.launch.loop import cycle, increment, look, record
from podway.launch.loop.cycle import Work
from podway.launch.loop.look import News
from podway.launch.loop.record import Cycle
from podway.launch.tracking.session import session


def once(
    experiment: Experiment,
    workdir: epath.PathLike,
    server: str = "",
    elsewhere: Callable[[Sequence[str]], None] | None = None,
) -> Cycle | None:
    """Goes on with the cycle that is not over, or begins one where it is time.

    `server`, HOST:PORT, follows a rollout; without one a new version serves at once. `elsewhere`
    trains on other machines (Work).

    Returns how it ended; None: there is nothing to do. Raises LockedError: another loop of this
    experiment is at work; stages.Stopped after SIGTERM; and what the stages raise: the next call
    goes on with the stage that failed.
    """
    work = Work(experiment, epath.Path(workdir), server, elsewhere)
    work.home.mkdir(parents=True, exist_ok=True)
    with lock.hold(work.home / "loop", "looped over"):
        cycles = record.cycles(work.home)
        if cycles and not cycles[-1].outcome:
            print(f"loop: going on with cycle {cycles[-1].number}: {cycles[-1].why}", flush=True)
            with session(experiment, workdir):
                return cycle.go_on(work, cycles[-1])
        news, why = _look(work, cycles)
        if not why:
            print(f"loop: nothing to do: {_idle(experiment, news)}", flush=True)
            return None
        begun = cycle.begin(work, cycles, news, why)
        print(f"loop: cycle {begun.number} begins: {why}", flush=True)
        with session(experiment, workdir):
            return cycle.go_on(work, begun)


def forever(experiment: Experiment, workdir: epath.PathLike, poll: float, server: str = "") -> None:
    """Looks every `poll` seconds, until SIGINT or SIGTERM."""
    while True:
        if (ended := once(experiment, workdir, server)) is not None:
            print(f"loop: {said(ended)}", flush=True)
        time.sleep(poll)


def due(experiment: Experiment, workdir: epath.PathLike) -> str:
    """What `once` would do, in a sentence. Changes nothing but what it reads of new files."""
    work = Work(experiment, epath.Path(workdir))
    cycles = record.cycles(work.home)
    if cycles and not cycles[-1].outcome:
        return f"cycle {cycles[-1].number} would go on with {cycles[-1].step}: {cycles[-1].why}"
    news, why = _look(work, cycles)
    return f"a cycle would begin: {why}" if why else f"nothing to do: {_idle(experiment, news)}"


def release(experiment: Experiment, workdir: epath.PathLike, patterns: Sequence[str]) -> list[str]:
    """Lets raw files that were set aside be read again. Returns their paths.

    Raises PodwayError: a pattern names none of them.
    """
    home = record.folder(experiment.name, workdir)
    asides = record.asides(home)
    released = []
    for pattern in patterns:
        found = [each.path for each in asides if _is(each.path, pattern)]
        if not found:
            there = ", ".join(each.path for each in asides) or "none"
            raise PodwayError(
                f"--release {pattern!r} names no file that is set aside; there are: {there}"
            )
        released += found
    record.set_aside(home, tuple(each for each in asides if each.path not in released))
    return sorted({*released})


def said(ended: Cycle) -> str:
    """How a cycle ended, in a sentence."""
    model = "" if ended.model is None else f", version {ended.model}"
    return f"cycle {ended.number} {ended.outcome}{model}: {ended.reason}"


def _look(work: Work, cycles: tuple[Cycle, ...]) -> tuple[News, str]:
    """What is new, and why a cycle should begin ("": it should not)."""
    version = cycle.last_dataset(cycles)
    base = artifact.read_manifest(work.datasets / version, "dataset") if version else None
    news = look.look(work.experiment, base, record.asides(work.home))
    drift = None
    if base is not None and news.files and work.experiment.loop.drift:
        inspected = increment.inspect(work.experiment, work.workdir, news, work.datasets / version)
        drift = inspected.psi
    now = datetime.datetime.now(datetime.UTC)
    return news, look.due(work.experiment, news, cycles, now, drift)


def _idle(experiment: Experiment, news: News) -> str:
    if not news:
        return "no new raw files"
    options = experiment.loop
    waits = [
        f"the last cycle began less than {options.every:g} hours ago" * bool(options.every),
        f"fewer than {options.new_events:,} events (about {news.events or 0:,})"
        * bool(options.new_events),
        f"no drift above PSI {options.drift:g}" * bool(options.drift),
    ]
    return f"{len(news.files):,} new raw files wait: {', '.join(filter(None, waits))}"


def _is(path: str, pattern: str) -> bool:
    return path == pattern or any(
        fnmatch.fnmatchcase(name, pattern) for name in (path, path.rpartition("/")[2])
    )
