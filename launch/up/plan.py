"""Which services an experiment has on one machine, and how each is started."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Sequence

from podway.framework.config import Experiment
from podway.framework.error import ConfigError
from podway.launch.targets.frozen import FILE, freeze
from podway.launch.up.service import Service

USUAL = {
    "model": (8500, 8501),
    "nearline": (8612,),
    "lander": (8613,),
    "gateway": (8600, 8601, 8602),
    "monitor": (9464,),
}
"""Services, in the order in which they are started, and their usual ports."""


@dataclasses.dataclass(frozen=True)
class Site:
    """Where all of it runs.

    Attributes:
      host: address to listen on.
      first: port from which on the services have theirs; 0: the usual ones.
      workdir: of the artefacts.
      config: what the services read: file of the experiment.
    """

    host: str
    first: int
    workdir: str
    config: str

    def ports(self, name: str) -> tuple[int, ...]:
        """Of a service."""
        if not self.first:
            return USUAL[name]
        before = list(USUAL)[: list(USUAL).index(name)]
        start = self.first + sum(len(USUAL[each]) for each in before)
        return tuple(range(start, start + len(USUAL[name])))


def home(workdir: str, name: str) -> pathlib.Path:
    """Folder of what the services keep on this machine."""
    return pathlib.Path(workdir) / "online" / name


def placed(experiment: Experiment, site: Site, without: Sequence[str]) -> Experiment:
    """The experiment, whose gateway asks the model server that is started here."""
    if "model" in without:
        return experiment
    gateway = dataclasses.replace(
        experiment.online.gateway, server=f"{site.host}:{site.ports('model')[0]}"
    )
    online = dataclasses.replace(experiment.online, gateway=gateway)
    return dataclasses.replace(experiment, online=online)


def write(experiment: Experiment, folder: pathlib.Path) -> None:
    """Puts the experiment where the services read it, with the sources that it needs."""
    for name, content in freeze(experiment).files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def config_file(workdir: str, name: str) -> pathlib.Path:
    """The file that `write` makes in `home(…) / "up"`."""
    return home(workdir, name) / "up" / FILE


def services(site: Site, model: str, workers: int, without: Sequence[str]) -> list[Service]:
    """All services but those that are left out, in the order in which they are started.

    Args:
      site: where they run.
      model: name of the experiment.
      workers: processes of the gateway.
      without: names of services that run elsewhere, or nowhere.

    Raises ConfigError: there is no such service.
    """
    strangers = [name for name in without if name not in USUAL]
    if strangers:
        raise ConfigError(f"--without names {strangers[0]!r}; the services are {', '.join(USUAL)}")
    made = (
        _model(site, model),
        _consumer(site, "nearline", "writes what users do into the store"),
        _consumer(site, "lander", "writes what users do into raw files"),
        _gateway(site, workers),
        _monitor(site),
    )
    return [service for service in made if service.name not in without]


def _command(site: Site, verb: str, *options: object) -> tuple[str, ...]:
    podway = (sys.executable, "-m", "podway.launch.cli")
    return (*podway, verb, site.config, *map(str, options), "--workdir", site.workdir)


def _model(site: Site, model: str) -> Service:
    grpc, rest = site.ports("model")
    url = f"http://{site.host}:{rest}/v1/models/{model}"
    listen = ("--host", site.host, "--port", grpc, "--rest-port", rest)
    return Service(
        "model",
        "answers with the published model",
        _command(site, "serve", *listen),
        url,
        (grpc, rest),
        {"gRPC": f"{site.host}:{grpc}", "REST": url},
        says="AVAILABLE",
    )


def _gateway(site: Site, workers: int) -> Service:
    rest, grpc, page = site.ports("gateway")
    listen = ("--host", site.host, "--port", rest, "--grpc-port", grpc, "--page-port", page)
    return Service(
        "gateway",
        "answers users",
        _command(site, "gateway", *listen, "--workers", workers),
        f"http://{site.host}:{page}/readyz",
        (rest, grpc, page),
        {
            "REST": f"http://{site.host}:{rest}",
            "gRPC": f"{site.host}:{grpc}",
            "health, metrics": f"http://{site.host}:{page}/metrics",
        },
    )


def _consumer(site: Site, name: str, does: str) -> Service:
    """What reads the queue, and has a page alone."""
    (port,) = site.ports(name)
    return Service(
        name,
        does,
        _command(site, name, "--host", site.host, "--page-port", port),
        f"http://{site.host}:{port}/readyz",
        (port,),
        {"health, metrics": f"http://{site.host}:{port}/metrics"},
    )


def _monitor(site: Site) -> Service:
    (port,) = site.ports("monitor")
    url = f"http://{site.host}:{port}/metrics"
    return Service(
        "monitor",
        "metrics of datasets, runs and versions",
        _command(site, "monitor", "--host", site.host, "--port", port),
        url,
        (port,),
        {"metrics": url},
    )
