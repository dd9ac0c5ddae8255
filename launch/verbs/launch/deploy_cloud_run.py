"""`podway deploy cloud-run`: a published model as a service of Cloud Run."""

import dataclasses
import pathlib
import sys
from typing import Any

from podway.framework.error import ConfigError
from podway.launch.targets.cloud_run.target import CloudRun
from podway.launch.verbs.launch import deploy as on_kubernetes
from podway.launch.verbs.launch import file
from podway.launch.verbs.launch.deploy import Deploy
from podway.launch.verbs.launch.objects import agreed
from podway.launch.verbs.verb import Verb


@dataclasses.dataclass(frozen=True)
class DeployCloudRun(Deploy):
    """A published model, where it lies, and how Cloud Run serves it."""

    target: CloudRun = CloudRun()
    """Where, and how the model is served there."""
    target_file: str = ""
    """Python file with a function target() that returns a CloudRun(…). Its fields can be changed by
    --target.… as those of a config."""


def deploy(options: DeployCloudRun) -> None:
    """Plans, and, unless it is a dry run, asks, and makes the revisions."""
    from podway.launch.targets.cloud_run import check as own
    from podway.launch.targets.cloud_run import knative
    from podway.launch.targets.cloud_run.deployed import Deployed

    found = Deployed(on_kubernetes.tracks(options), options.target, options.workdir)
    missing, made = found.problems(), knative.services(found)
    wrong = [] if missing else [said for each in made for said in own.problems(each)]
    assert not wrong, wrong
    said = "\n".join([plan(found), *on_kubernetes.problems(missing)])
    if options.dry_run:
        write(made, options.output)
        print(said, file=sys.stderr, flush=True)
        sys.exit(1 if missing else 0)
    print(said, flush=True)
    if missing:
        raise ConfigError(f"nothing is deployed: {missing[0]}")
    _apply(options, found, made)


def plan(found: Any) -> str:
    """What will serve, where."""
    target = found.target
    lines = [f"deploy {found.model} by {target.server} as service {found.name}"]
    for track, version in found.tracks.items():
        lines.append(
            f"  {track:<10} version {version.version}, {found.traffic[track]} % of the requests:"
            f" {target.least} to {target.most} instances of {target.cpu} cores and"
            f" {found.memory(track)}" + (f", a {target.gpu} each" if target.gpu else "")
        )
    if not target.least:
        lines.append("  cold       without requests there is no instance: the first one waits")
    lines += [
        f"  at once    {found.concurrency('stable')} requests an instance",
        f"  batching   {on_kubernetes.batching(found.run('stable'))}",
        f"  answers    {target.protocol}, from {target.ingress}",
        f"  place      {target.project or '?'}, {target.region}",
        f"  models     gs://{found.bucket or '?'}, mounted: {found.run('stable').folder}",
    ]
    return "\n".join(lines)


def write(made: list[dict[str, Any]], output: str) -> None:
    """Prints manifests, or writes a file for each, in the order of their making."""
    from podway.launch.targets.kubernetes import yaml_text

    if not output:
        print(yaml_text.of(made), end="")
        return
    home = pathlib.Path(output)
    home.mkdir(parents=True, exist_ok=True)
    for at, each in enumerate(made):
        (home / f"{at:02}-{each['kind'].lower()}.yaml").write_text(yaml_text.of([each]))
    print(f"{output}: {len(made)} files; `gcloud run services replace FILE` takes each in turn")


def _apply(options: DeployCloudRun, found: Any, made: list[dict[str, Any]]) -> None:
    from podway.launch.targets.cloud_run.connect import connect
    from podway.launch.targets.error import LaunchError

    cloud = connect(options.target)
    if not agreed(options, "deploy it?"):
        raise LaunchError("nothing is deployed; --yes deploys without asking")
    address = cloud.deploy(made, lambda text: print(text, flush=True))
    shares = ", ".join(
        f"version {found.tracks[track].version} {share} %" for track, share in found.traffic.items()
    )
    print(f"{found.model} serves at {address}: {shares}")


def target(overrides: list[str]) -> dict[str, Any]:
    """The target of --target-file, whose fields the other options change."""
    return file.chosen(overrides, CloudRun)


VERB = Verb(
    "serve a published model on Cloud Run",
    DeployCloudRun,
    deploy,
    target,
    of="MODEL",
    more="\n\nThe model lies in a bucket. Requests move when a new revision serves.",
    example="podway deploy cloud-run movielens_sasrec --workdir gs://B/w --target.project P"
    " --target.image NAME@sha256:DIGEST --dry-run",
)
