"""`podway lander`: events of the queue → raw files for `podway data`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from podway.launch.verbs.verb import Stage, Verb

if TYPE_CHECKING:
    from podway.online.lander.service import Place


@dataclasses.dataclass(frozen=True)
class Options(Stage):
    """An experiment, where its artefacts lie, and the page of the service."""

    host: str = "127.0.0.1"
    """Address of the page; 0.0.0.0 for all interfaces."""
    page_port: int = 8613
    """Port of /livez, /readyz and /metrics; 0: any free one."""
    drain: bool = False
    """End when nothing waits any more."""


_MORE = """

Shards of Parquet, each event in the day and hour that it is of; offsets are committed when a shard
is on the disk. `data.path` names the folder, with `data.format` Parquet() and `data.columns.id`
"id", and `podway data --since latest` reads what is new. `online.lander` of the config says when a
shard is written."""


def lander(options: Options) -> None:
    """Lands until SIGINT or SIGTERM, then lands what it has polled."""
    from podway.online.lander import service
    from podway.online.service import stop

    def told(place: Place) -> None:
        print(
            f"lander of {options.experiment.name}: {options.experiment.online.topics.events} →"
            f" {place.root}, health and metrics on {options.host}:{place.port}",
            flush=True,
        )

    folder = f"{options.workdir.rstrip('/')}/online/{options.experiment.name}"
    with stop.asked() as asked:
        found = service.run(
            options.experiment.online,
            folder,
            options.host,
            options.page_port,
            asked,
            told,
            drain=options.drain,
        )
    said = ", ".join(f"{count:,} {kind}" for kind, count in sorted(found.items()) if count)
    print(f"lander: ended; {said or 'no event came'}", flush=True)


VERB = Verb(
    "events of the queue → raw files, once each",
    Options,
    lander,
    more=_MORE,
    example="podway lander movielens_sasrec --workdir w",
    without_model=True,
)
