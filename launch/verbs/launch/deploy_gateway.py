"""`podway deploy gateway`: the gateway alone, on Cloud Run."""

import dataclasses
import os
import sys
from typing import Any

from podway.framework.error import ConfigError
from podway.launch.targets.cloud_run.gateway import CloudRunGateway
from podway.launch.verbs.launch import cloud_run, deploy_cloud_run, file
from podway.launch.verbs.launch.deploy import problems
from podway.launch.verbs.launch.objects import Applying, agreed
from podway.launch.verbs.verb import Stage, Verb


@dataclasses.dataclass(frozen=True)
class DeployGateway(Applying, Stage):
    """An experiment, whose `online` says where queue, store and model server are, and how Cloud Run
    runs its gateway."""

    target: CloudRunGateway = CloudRunGateway()
    """Where, and how much of it."""
    target_file: str = ""
    """Python file with a function target() that returns a CloudRunGateway(…). Its fields can be
    changed by --target.… as those of a config."""


def deploy(options: DeployGateway) -> None:
    """Plans, and, unless it is a dry run, asks, and makes the revision."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # nothing runs here

    from podway.launch.targets import frozen
    from podway.launch.targets.cloud_run import check as own
    from podway.launch.targets.cloud_run import gateway_service

    found = gateway_service.GatewayService(
        options.experiment, frozen.freeze(options.experiment), options.target, options.workdir
    )
    made, missing = gateway_service.service(found), found.problems()
    wrong = own.problems(made)
    assert not wrong, wrong
    said = "\n".join([plan(found), *problems(missing)])
    if options.dry_run:
        deploy_cloud_run.write([made], options.output)
        print(said, file=sys.stderr, flush=True)
        sys.exit(1 if missing else 0)
    print(said, flush=True)
    if missing:
        raise ConfigError(f"nothing is deployed: {missing[0]}")
    _apply(options, found, made)


def plan(found: Any) -> str:
    """What will answer, where, and whom it asks."""
    target, online = found.target, found.experiment.online
    network = target.network
    way = network.connector or network.subnet
    return "\n".join(
        [
            f"deploy the gateway of {found.experiment.name} as service {found.name}",
            f"  instances  {target.least} to {target.most} of {target.cpu} cores and"
            f" {target.memory}, a process for each core; processors are theirs all the time",
            f"  at once    {target.concurrency * target.cpu} requests an instance",
            f"  answers    {target.protocol}, from {target.ingress}; clients: access"
            f" {online.gateway.access.kind}",
            f"  asks       {online.gateway.server}, {type(online.store).__name__}",
            f"  tells      {type(online.queue).__name__}, topic {online.topics.events}",
            f"  network    {f'by {way}' if way else 'public addresses'}",
            f"  place      {target.project or '?'}, {target.region}",
            f"  workdir    {found.workdir}",
            *(f"  note       {each}" for each in found.notes()),
        ]
    )


def _apply(options: DeployGateway, found: Any, made: dict[str, Any]) -> None:
    from podway.launch.targets.cloud_run.connect import connect
    from podway.launch.targets.error import LaunchError

    cloud = connect(options.target)
    if not agreed(options, "deploy it?"):
        raise LaunchError("nothing is deployed; --yes deploys without asking")
    cloud_run.put(found)
    address = cloud.deploy([made], lambda text: print(text, flush=True))
    print(f"the gateway of {found.experiment.name} answers at {address}")


def target(overrides: list[str]) -> dict[str, Any]:
    """The target of --target-file, whose fields the other options change."""
    return file.chosen(overrides, CloudRunGateway)


VERB = Verb(
    "the gateway alone, on Cloud Run",
    DeployGateway,
    deploy,
    target,
    example="podway deploy gateway CONFIG --workdir gs://B/w --target.project P --target.image"
    " NAME@sha256:DIGEST --dry-run",
)
