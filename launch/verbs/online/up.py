"""`podway up`: all services of an experiment on this machine, in one terminal."""

from __future__ import annotations

import dataclasses
import shlex

from podway.framework.error import check
from podway.launch.verbs.verb import Stage, Verb


@dataclasses.dataclass(frozen=True)
class Options(Stage):
    """An experiment, where its artefacts lie, and where its services listen."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 would be open to all that reach this machine."""
    ports: int = 0
    """First of the ports, from which on all are free; 0: each service's usual ones."""
    workers: int = 1
    """Processes of the gateway."""
    without: tuple[str, ...] = ()
    """Services that are not started here."""
    ready_seconds: float = 180.0
    """So long a service may take until it is ready."""
    drain_seconds: float = 30.0
    """So long a service may take to finish what is under way, after Ctrl-C."""
    dry_run: bool = False
    """Print the commands and addresses, and start nothing."""


_MORE = """

A service that ends is started again, after 1, 2, 4 … 30 s. Ctrl-C ends all in good order, the
gateway first; a second one at once. Lines are in WORKDIR/online/NAME/logs/, too."""


def up(options: Options) -> None:
    """Runs them until SIGINT or SIGTERM."""
    from podway.launch.up import plan, service, supervisor
    from podway.launch.up.child import Lines

    check(options.workers >= 1, f"--workers is {options.workers}; give 1 or more")
    check(
        "://" not in options.workdir,
        f"--workdir is {options.workdir}; queue and store of one machine are local files: give a"
        " local folder",
    )
    check(0 <= options.ports <= 65_000, f"--ports is {options.ports}; give 0 to 65000")
    for name in ("ready_seconds", "drain_seconds"):
        value, flag = getattr(options, name), f"--{name.replace('_', '-')}"
        check(0 < value < float("inf"), f"{flag} is {value}; give seconds above 0")
    name = options.experiment.name
    file = plan.config_file(options.workdir, name)
    site = plan.Site(options.host, options.ports, options.workdir, str(file))
    services = plan.services(site, name, options.workers, options.without)
    check(bool(services), "--without names all services; leave one to start")
    if options.dry_run:
        print(f"# what the services read, written first: {file}")
        for each in services:
            print(f"# {each.name}: {each.does}\n{shlex.join(each.command)}")
        print(f"\n{service.table(services)}")
        return
    from podway.online.service import stop

    service.check_ports(services, options.host)
    plan.write(plan.placed(options.experiment, site, options.without), file.parent)
    lines = Lines(["up", *(each.name for each in services)])
    patience = supervisor.Patience(options.ready_seconds, options.drain_seconds)
    logs = plan.home(options.workdir, name) / "logs"
    crew = supervisor.Supervisor(services, logs, patience, lines)
    with stop.asked() as asked:
        crew.run(
            asked,
            lambda: lines.text(f"\n{name} is up (Ctrl-C ends it):\n{service.table(services)}\n"),
        )
    lines.text(f"{name}: all services have ended")


VERB = Verb(
    "all services on this machine, in one terminal",
    Options,
    up,
    more=_MORE,
    example="podway up movielens_sasrec --workdir w",
)
