"""`podway deploy kubernetes`: a published model on a cluster: planned, applied, followed."""

import dataclasses
import sys
from typing import Any

from podway.framework.error import ConfigError, check
from podway.launch.targets.kubernetes.serving.config import Serving
from podway.launch.verbs.launch import file
from podway.launch.verbs.launch.objects import Applying, agreed
from podway.launch.verbs.verb import Subject, Verb


@dataclasses.dataclass(frozen=True)
class Deploy(Applying):
    """A published model, where it lies, and what becomes of it."""

    model: Subject = ""
    workdir: str = "workdir"
    """Folder of models/, as this machine sees it."""
    stable: int | None = None
    """Version that serves; without a number that of the label "stable", or else what requests
    without a label get."""
    canary: int | None = None
    """Version that gets a share of the requests; without a number that of the label "canary", if
    there is one."""
    no_canary: bool = False
    """Have no canary, whatever the labels say."""

    def __post_init__(self):
        super().__post_init__()
        check(
            not (self.no_canary and self.canary is not None),
            "--canary and --no-canary exclude each other; leave one out",
        )


@dataclasses.dataclass(frozen=True)
class DeployKubernetes(Deploy):
    """A published model, where it lies, and the cluster that serves it."""

    target: Serving = Serving()
    """The cluster, and how the model is served there."""
    target_file: str = ""
    """Python file with a function target() that returns a Serving(…). Its fields can be changed by
    --target.… as those of a config."""


def deploy(options: DeployKubernetes) -> None:
    """Plans, and, unless it is a dry run, asks, applies, waits for the pods, and moves requests."""
    from podway.launch.targets.kubernetes import yaml_text
    from podway.launch.targets.kubernetes.serving import check as own
    from podway.launch.targets.kubernetes.serving import objects
    from podway.launch.targets.kubernetes.serving.deployed import Deployed

    found = Deployed(tracks(options), options.target, options.target.workdir or options.workdir)
    made = objects.objects(found)
    wrong = own.problems(made)
    assert not wrong, wrong
    missing = found.problems()
    if options.dry_run:
        if options.output:
            files = yaml_text.write(made, options.output)
            print(f"{options.output}: {len(files)} objects")
        else:
            print(yaml_text.of(made), end="")
        say(plan(found, missing), sys.stderr)
        sys.exit(1 if missing else 0)
    say(plan(found, missing), sys.stdout)
    if missing:
        raise ConfigError(f"nothing is deployed: {missing[0]}")
    _apply(options, found, made)


def tracks(options: Deploy) -> Any:
    """The versions that are to serve, by track."""
    from podway.launch.targets import published

    found = dict(published.tracks(options.model, options.workdir, options.stable, options.canary))
    if options.no_canary:
        found.pop(published.CANARY, None)
    return found


def plan(found: Any, missing: list[str]) -> str:
    """What will serve, where, and what is in the way."""
    target, scaling = found.target, found.target.scaling
    where = f"namespace {target.namespace}"
    where += f", context {target.context}" if target.context else ""
    lines = [f"deploy {found.model} by {target.server}"]
    for track, version in found.tracks.items():
        least = scaling.canary_least if track == "canary" else scaling.least
        given = (
            "as given" if target.memory else f"from {version.bytes / (1 << 20):,.1f} MiB of files"
        )
        lines.append(
            f"  {track:<10} version {version.version}: {least} to {scaling.most} pods of"
            f" {target.cpu} cores and {found.memory(track)} of memory ({given})"
            + (f", a {target.gpu} each" if target.gpu else "")
        )
    lines += [
        f"  requests   {_requests(found)}",
        f"  batching   {batching(found.run('stable'))}",
        f"  cluster    {where}",
        f"  models     {found.folder}",
        f"  metrics    {target.monitoring}",
    ]
    return "\n".join([*lines, *problems(missing)])


def problems(missing: list[str]) -> list[str]:
    """The end of a plan: what must be mended first."""
    if not missing:
        return []
    return ["before this can be deployed:", *(f"  - {each}" for each in missing)]


def batching(run: Any) -> str:
    """In words."""
    if run.batches:
        return f"in the sizes that the export compiled, up to {run.published.batch_buckets[-1]}"
    return (
        "none: requests differ in length, which TensorFlow Serving cannot batch without changing"
        ' what they say; target.server "podway" can'
    )


def _requests(found: Any) -> str:
    gateway = found.target.gateway
    if not gateway.name:
        return f"to Service {found.name}, each pod as likely as another; no route, no weights"
    share = gateway.canary_percent if "canary" in found.tracks else 0
    said = f"by Gateway {gateway.name}: {100 - share} % to stable"
    return said + (f", {share} % to canary" if "canary" in found.tracks else "")


def _apply(options: DeployKubernetes, found: Any, made: list[dict[str, Any]]) -> None:
    from podway.launch.targets.error import LaunchError
    from podway.launch.targets.kubernetes.cluster import Cluster
    from podway.launch.targets.kubernetes.serving import objects, rollout

    cluster = Cluster(options.target.namespace, options.target.context)
    cluster.apply(made, dry_run=True)
    if not agreed(options, "deploy it?"):
        raise LaunchError("nothing is deployed; --yes deploys without asking")
    routes = [each for each in made if each["kind"] in objects.ROUTES]
    for each in cluster.apply([each for each in made if each not in routes]):
        print(f"made {each}")
    try:
        rollout.until_ready(cluster, found)
    except KeyboardInterrupt:
        print(
            "\npodway: no longer followed; requests go where they went before, until the same"
            " command has seen the pods serve",
            file=sys.stderr,
        )
        return
    cluster.apply(routes)
    for each in rollout.left(cluster, found, made):
        cluster.delete(each)
        print(f"took away {each['kind']} {each['metadata']['name']}")
    versions = ", ".join(f"{track} {each.version}" for track, each in found.tracks.items())
    print(f"{found.model} serves: {versions}")


def say(text: str, stream: Any) -> None:
    """Prints at once."""
    print(text, file=stream, flush=True)


def target(overrides: list[str]) -> dict[str, Any]:
    """The target of --target-file, whose fields the other options change."""
    return file.chosen(overrides, Serving)


_MORE = """

Pods of the new version are made beside those of the old one; requests move when they serve. The
same command goes on where it was interrupted."""

VERB = Verb(
    "serve a published model on a Kubernetes cluster",
    DeployKubernetes,
    deploy,
    target,
    of="MODEL",
    more=_MORE,
    example="podway deploy kubernetes movielens_sasrec --workdir gs://B/w --target.image"
    " NAME@sha256:DIGEST --dry-run",
)
