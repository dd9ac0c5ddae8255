"""`podway nearline`: events of the queue → histories, counters and features in the store."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime

from podway.framework.error import ConfigError
from podway.launch.verbs.verb import Stage, Verb


@dataclasses.dataclass(frozen=True)
class Options(Stage):
    """An experiment, where its artefacts lie, and where to listen."""

    host: str = "127.0.0.1"
    """Address of the page; 0.0.0.0 for all interfaces."""
    page_port: int = 8612
    """Port of /livez, /readyz and /metrics; 0: any free one."""
    replay: str = ""
    """Read what the queue holds once more, from its beginning, as a group of this name. What the
    store has of it already changes nothing."""
    since: str = ""
    """Pass over messages that the queue took before: 2026-11-30T10:00, in UTC unless it says
    another zone."""
    drain: bool = False
    """End when nothing waits any more."""


_MORE = """

An event has its effect once, however often it comes and whoever is killed when. Further processes
share the work. `online.nearline` of the config says what is kept and counted."""


def nearline(options: Options) -> None:
    """Runs until SIGINT or SIGTERM; what is under way is finished."""
    from prometheus_client.registry import CollectorRegistry

    from podway.online.nearline import run
    from podway.online.nearline.nearline import Service
    from podway.online.service import page, stop

    experiment, registry = options.experiment, CollectorRegistry()
    given = run.Options(
        experiment.online,
        experiment.name,
        options.workdir,
        experiment.data.duplicates,
        options.replay,
        _seconds(options.since),
        options.drain,
    )
    with stop.asked() as asked, contextlib.ExitStack() as stack:

        def told(service: Service) -> None:
            served = page.page(options.host, options.page_port, registry, service.problem)
            port = stack.enter_context(served)
            print(
                f"nearline of {experiment.name}: health and metrics on {options.host}:{port}",
                flush=True,
            )

        run.run(given, asked, registry, told)
    count = registry.get_sample_value
    new, again = (
        int(count("podway_nearline_events_total", {"outcome": name}) or 0)
        for name in ("new", "repeated")
    )
    print(f"nearline: ended; {new} events were new, {again} were there already", flush=True)


def _seconds(since: str) -> float:
    if not since:
        return 0.0
    try:
        found = datetime.datetime.fromisoformat(since)
    except ValueError:
        raise ConfigError(
            f"--since is {since!r}; give a time as 2026-11-30T10:00, or 2026-11-30T10:00+01:00"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=datetime.UTC)).timestamp()


VERB = Verb(
    "events → histories, counters, features in the store",
    Options,
    nearline,
    more=_MORE,
    example="podway nearline movielens_sasrec --workdir w",
    without_model=True,
)
