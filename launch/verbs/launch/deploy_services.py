"""`podway deploy services`: gateway, nearline and lander on a cluster."""

import dataclasses
import os
from typing import Any

from podway.launch.targets.kubernetes.services.config import Services
from podway.launch.verbs.launch import file
from podway.launch.verbs.launch.objects import Applying
from podway.launch.verbs.verb import Stage, Verb


@dataclasses.dataclass(frozen=True)
class DeployServices(Applying, Stage):
    """An experiment, whose `online` says where queue, store and model servers are, and the
    cluster."""

    target: Services = Services()
    """The cluster, and how large each service is there."""
    target_file: str = ""
    """Python file with a function target() that returns a Services(…). Its fields can be changed by
    --target.… as those of a config."""


def deploy(options: DeployServices) -> None:
    """Plans, and, unless it is a dry run, asks and applies."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # nothing runs here

    from podway.launch.targets import frozen
    from podway.launch.targets.kubernetes import check as own
    from podway.launch.targets.kubernetes.services.objects import objects
    from podway.launch.targets.kubernetes.services.stack import Stack
    from podway.launch.verbs.launch.objects import settle

    found = Stack(
        options.experiment, frozen.freeze(options.experiment), options.target, options.workdir
    )
    made = objects(found)
    wrong = own.problems(made)
    assert not wrong, wrong
    settle(options, made, plan(found), found.problems(), options.target.context)


def plan(found: Any) -> str:
    """What will run, where, and on what."""
    from podway.launch.targets.kubernetes.services.stack import PORTS, SERVICES

    target, online = found.target, found.experiment.online
    lines = [f"deploy the services of {found.experiment.name}"]
    for service in SERVICES:
        size = found.pods(service)
        lines.append(
            f"  {service:<10} {size.least} to {size.most} pods of {size.cpu} cores and"
            f" {size.memory} of memory"
        )
    where = f"namespace {target.namespace}"
    where += f", context {target.context}" if target.context else ""
    entrance = target.entrance
    host = f" for {entrance.host}" if entrance.host else ""
    asked = f"Service {found.of('gateway')}, ports {PORTS['rest']} (REST), {PORTS['grpc']} (gRPC)"
    lines += [
        f"  requests   {f'by Gateway {entrance.name}{host}' if entrance.name else f'to {asked}'}",
        f"  queue      {type(online.queue).__name__}, topic {online.topics.events}",
        f"  store      {type(online.store).__name__}",
        f"  cluster    {where}",
        f"  workdir    {found.workdir}",
        f"  metrics    {target.monitoring}",
    ]
    return "\n".join(lines)


def target(overrides: list[str]) -> dict[str, Any]:
    """The target of --target-file, whose fields the other options change."""
    return file.chosen(overrides, Services)


VERB = Verb(
    "gateway, nearline and lander on a Kubernetes cluster",
    DeployServices,
    deploy,
    target,
    example="podway deploy services CONFIG --workdir gs://B/w --target.image IMAGE --dry-run",
)
