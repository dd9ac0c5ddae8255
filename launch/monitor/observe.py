"""One pass over all that a workdir has of one experiment: every metric that can be said now.

A part that cannot be read costs its own metrics and a problem that says so, not the others'.
"""

import dataclasses
import logging
import time
from collections.abc import Callable

from etils import epath

from podway.framework.config.limits import Limits
from podway.framework.error import PodwayError
from podway.launch.monitor import data, live, loop, published, requests, rollout, training
from podway.launch.monitor.alerts import catalogue
from podway.launch.monitor.alerts.catalogue import Samples, one

log = logging.getLogger("podway.monitor")


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is watched.

    Attributes:
      name: of the experiment, which its runs, models and loop have, too.
      dataset: name of its dataset; "": none is known.
      workdir: where they lie.
      log: folder of the servers' log of requests; "": none.
      key: of its hash.
      window: seconds of the log that are looked at.
      most: requests of it that are read.
      limits: of drift.
    """

    name: str
    dataset: str
    workdir: epath.Path
    log: str = ""
    key: bytes = b""
    window: float = 86_400.0
    most: int = 50_000
    limits: Limits = Limits()


Part = Callable[[Subject], Samples]


def observe(subject: Subject, parts: dict[str, Part] | None = None) -> Samples:
    """All metrics, in the order of the catalogue."""
    start, made = time.time(), []
    for name, part in (parts or PARTS).items():
        problem = 0.0
        try:
            made += part(subject)
        except (PodwayError, OSError) as error:
            problem = 1.0
            log.error("%s: %s", name, error)
        except Exception:  # what nobody thought of: the other parts are watched all the same
            problem = 1.0
            log.exception("%s", name)
        made += one(catalogue.MONITOR_PROBLEM, (subject.name, name), problem)
    made += one(catalogue.MONITOR_PASS, (subject.name,), time.time())
    made += one(catalogue.MONITOR_SECONDS, (subject.name,), time.time() - start)
    order = {metric: number for number, metric in enumerate(catalogue.METRICS)}
    return sorted(made, key=lambda sample: order[sample.metric])


def _data(subject: Subject) -> Samples:
    if not subject.dataset:
        return []
    return data.samples(subject.workdir, subject.dataset, subject.limits)


def _training(subject: Subject) -> Samples:
    return training.samples(subject.workdir, subject.name)


def _live(subject: Subject) -> Samples:
    """Of each version that the log has; one that is not to be had costs the others nothing."""
    if not subject.log:
        return []
    since = time.time() - subject.window
    found = requests.read(subject.log, subject.name, since, subject.most)
    made, problems = [], []
    for version, asked in requests.by_version(found).items():
        try:
            known = live.reference(subject.workdir, subject.name, version, subject.key)
        except PodwayError as error:
            problems.append(str(error))
            continue
        made += live.of_version((subject.name, str(version)), asked, known, subject.limits)
    if problems and not made:
        raise published.LineageError("; ".join(problems))
    for problem in problems:
        log.warning("live: %s", problem)
    return made


def _rollout(subject: Subject) -> Samples:
    return rollout.samples(subject.workdir, subject.name)


def _loop(subject: Subject) -> Samples:
    return loop.samples(subject.workdir, subject.name)


PARTS: dict[str, Part] = {
    "data": _data,
    "training": _training,
    "live": _live,
    "rollout": _rollout,
    "loop": _loop,
}
"""Name → what reads it."""
