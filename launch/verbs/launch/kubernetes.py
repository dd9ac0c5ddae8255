"""`podway launch kubernetes`: a training run on a cluster, planned, checked, applied, followed."""

import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from podway.framework.config import Model
from podway.framework.error import ConfigError, check
from podway.launch import stages
from podway.launch.targets.kubernetes.target import Kubernetes
from podway.launch.verbs.launch import file
from podway.launch.verbs.verb import Stage, Verb


@dataclasses.dataclass(frozen=True)
class LaunchKubernetes(Stage):
    """An experiment, where its artefacts lie, and the cluster."""

    target: Kubernetes = Kubernetes()
    """The cluster, and what of it is taken."""
    target_file: str = ""
    """Python file with a function target() that returns a Kubernetes(…). Its fields can be changed
    by --target.… as those of a config."""
    launch_name: str = ""
    """Name of the launch. Without one it is made of the config: the same config on the same workdir
    is the same launch."""
    dry_run: bool = False
    """Print the plan and the objects, and apply nothing. Asks no cluster."""
    output: str = ""
    """With --dry-run: folder to write the objects to, a file each."""
    yes: bool = False
    """Don't ask."""
    resume: bool = False
    """Start again what has failed: it goes on from its last save."""
    detach: bool = False
    """Don't follow the launch to its end."""
    elastic: bool = False
    """Go on with fewer slices where there are no machines for all, and with all when there are; by
    whoever follows the launch."""
    elastic_after: float = 600.0
    """Seconds that slices wait for machines before the launch goes on without them."""
    items: int | None = None
    """For the prediction where the dataset is not there yet: its number of items."""
    users: int = 1_000_000
    """Users of a declared dataset."""
    history: int = 1024
    """Longest history of a declared dataset."""
    skip_preflight: bool = False
    """Don't compile the step to see whether it fits."""
    prices: str = ""
    """File of prices, before those that are known (docs/capacity.md)."""


def launch(options: LaunchKubernetes) -> None:
    """Plans, and, unless it is a dry run, asks, applies and follows."""
    check(
        type(options.experiment.model) is not Model,
        f"the experiment {options.experiment.name!r} has no model: set `model` and `optimizer`",
    )
    check(not options.output or options.dry_run, "--output goes with --dry-run")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # nothing runs here

    from podway.launch.targets import frozen
    from podway.launch.targets.kubernetes import check as own
    from podway.launch.targets.kubernetes import training, yaml_text
    from podway.launch.targets.kubernetes.launch import Launch, check_mesh, check_trained_in_steps

    found = Launch(
        options.experiment,
        frozen.freeze(options.experiment),
        options.target,
        options.workdir,
        options.launch_name,
    )
    check_trained_in_steps(found)
    check_mesh(found)
    sizes = _sizes_of_slices(options, found)
    estimate = _estimate(options, found)
    objects = training.objects(found, None if options.dry_run else int(time.time()))
    wrong = own.problems(objects)
    assert not wrong, wrong
    missing = found.problems()
    if estimate.fits is False:
        missing.append("the training step does not fit; `podway preflight` names what would")
    if options.dry_run:
        if options.output:
            files = yaml_text.write(objects, options.output)
            print(f"{options.output}: {len(files)} objects")
        else:
            print(yaml_text.of(objects), end="")
        _say(plan(found, estimate, missing, sizes), sys.stderr)
        sys.exit(1 if missing else 0)
    _say(plan(found, estimate, missing, sizes), sys.stdout)
    if missing:
        raise ConfigError(f"nothing is launched: {missing[0]}")
    _apply(options, found, objects, sizes)


def _sizes_of_slices(options: LaunchKubernetes, found: Any) -> list[int]:
    """The numbers of slices that it may go on with, from the largest; [] without --elastic."""
    if not options.elastic:
        return []
    check(
        options.elastic_after > 0, f"--elastic-after is {options.elastic_after:g}; give seconds > 0"
    )
    check(not options.detach, "--elastic is done by who follows the launch; leave out --detach")
    slices = options.target.slices
    check(slices > 1, f"--elastic is for several slices; target.slices is {slices}")
    from podway.launch import elastic

    devices = found.pool.topology.devices // slices
    return elastic.sizes(options.experiment, slices, devices, "slices", "target.slices")


def plan(found: Any, estimate: Any, missing: list[str], sizes: Sequence[int] = ()) -> str:
    """What will be done, on what, for how much, and what is in the way."""
    pool, target = found.pool, found.target
    pods = target.slices * pool.hosts
    machine = f" on {pool.machine}" if pool.machine else ""
    where = f"namespace {target.namespace}"
    where += f", context {target.context}" if target.context else ""
    where += f", queue {target.queue}" if target.queue else ""
    lines = [
        f"launch {found.name}: {found.experiment.name} on {pool.topology}",
        f"  pods       {pods}{machine}, {target.capacity}; one each for data and export",
        f"  cluster    {where}",
        f"  workdir    {found.workdir}",
        *(f"  {line}" for line in estimate.lines()),
        f"  restarts   {target.max_restarts} after crashes and lost machines; preemptions are free",
    ]
    if sizes:
        fewer = " or ".join(map(str, sizes[1:]))
        lines.append(
            f"  elastic    {sizes[0]} slices; {fewer} while there are machines for no more"
        )
    lines += [f"  note       {each}" for each in found.notes()]
    if missing:
        lines += ["before this can be launched:", *(f"  - {each}" for each in missing)]
    return "\n".join(lines)


def _estimate(options: LaunchKubernetes, found: Any) -> Any:
    from podway.launch.prices import book
    from podway.launch.targets import estimate

    pod, target = found.pool.topology, options.target
    price = book.read(options.prices).chip_hour(
        pod.accelerator.name, target.region, target.capacity
    )
    schema, why_not = _sizes(options)
    return estimate.of(options.experiment, schema, pod, price, why_not)


def _sizes(options: LaunchKubernetes) -> tuple[Any, str]:
    """The dataset's schema, or a declared one; without either, why not."""
    if options.skip_preflight:
        return None, "--skip-preflight"
    if stages.is_fitted(options.experiment):
        return None, "the model is fitted at once, not in steps"
    if options.items is not None:
        from podway.framework.preflight.compile import declared

        tables = options.experiment.data.tables
        return declared(options.items, options.users, options.history, tables), ""
    why_not = "the dataset is not there yet, so that its sizes are unknown; --items declares them"
    from podway.beam import place
    from podway.framework import artifact

    directory = place.directory(options.experiment.data, options.workdir, look=True)
    if not artifact.exists(directory):
        return None, why_not
    return stages.data(options.experiment, options.workdir, look=True).schema, ""


def _apply(
    options: LaunchKubernetes, found: Any, objects: list[dict[str, Any]], sizes: list[int]
) -> None:
    from podway.launch.targets.error import LaunchError
    from podway.launch.targets.kubernetes import admission, follow, training
    from podway.launch.targets.kubernetes.cluster import Cluster
    from podway.launch.targets.kubernetes.launch import OWN

    cluster = Cluster(options.target.namespace, options.target.context)
    there = cluster.get(training.API, "JobSet", found.name)
    if there is not None:
        other = (there["metadata"].get("annotations") or {}).get(f"{OWN}/hash")
        if other != found.hash:
            raise LaunchError(
                f"the name {found.name!r} is taken by another launch, of other content; give"
                " another --launch-name, or stop that one"
            )
        now, _ = follow.look(cluster, found.name)
        if now.phase == "failed" and not options.resume:
            raise LaunchError(
                f"{found.name} has failed: {'; '.join(now.lines)}. --resume starts it again from"
                " its last save"
            )
        if now.phase == "complete":
            print(f"{found.name} is complete")
            return
        if now.phase not in ("failed", "stopping"):
            print(f"{found.name} is there already")
            _follow(options, cluster, found, sizes)
            return
    admission.check(cluster, objects[-1])
    if not options.yes and not _agreed():
        raise LaunchError("nothing is launched; --yes launches without asking")
    if there is not None:
        print(f"{found.name}: waits until what is left of it has ended", flush=True)
        cluster.delete(there)
        follow.wait_until_gone(cluster, found.name)
    for each in cluster.apply(objects):
        print(f"made {each}")
    _register(options, found)
    _follow(options, cluster, found, sizes)


def _register(options: LaunchKubernetes, found: Any) -> None:
    """So that `podway jobs` knows where to look."""
    from podway.launch.jobs import registry

    record = registry.Record(
        name=found.name,
        kind="kubernetes",
        target=options.target,
        experiment=found.experiment.name,
        workdir=found.workdir,
        hash=found.hash,
        launched=time.time(),
    )
    registry.write(record)


def _agreed() -> bool:
    if not sys.stdin.isatty():
        return False
    return input("launch it? [y/N] ").strip().lower() in ("y", "yes")


def _follow(options: LaunchKubernetes, cluster: Any, found: Any, sizes: list[int]) -> None:
    name = found.name
    if options.detach:
        print(f"`podway logs {name}` follows it, `podway stop {name}` ends it")
        return
    from podway.launch.jobs import kubernetes, registry
    from podway.launch.targets.error import FailedError
    from podway.launch.targets.kubernetes.elastic import Elastic

    elastic = Elastic(cluster, found, sizes, options.elastic_after) if sizes else None
    end = kubernetes.follow_to_end(cluster, name, elastic)
    if end is None:
        return
    if (record := registry.find(name)) is not None:
        registry.ended(record, end.phase)
    if end.phase == "failed":
        raise FailedError(f"{name} has failed: {'; '.join(end.lines)}")
    if end.phase == "stopped":
        raise stages.Stopped(f"{name} was stopped; the same command goes on")


def _say(text: str, stream: Any) -> None:
    print(text, file=stream, flush=True)


def target(overrides: list[str]) -> dict[str, Any]:
    """The target of --target-file, whose fields the other options change."""
    return file.chosen(overrides, Kubernetes)


VERB = Verb(
    "train on a Kubernetes cluster",
    LaunchKubernetes,
    launch,
    target,
    example="podway launch kubernetes CONFIG --target.accelerator v5e:4x4 --workdir gs://B/w"
    " --dry-run",
)
