"""`podway launch machines`: a training run on hosts by ssh, planned, checked, started, followed."""

import dataclasses
import os
import sys
import time
from typing import Any

from podway.framework.config import Model
from podway.framework.error import ConfigError, check
from podway.launch import stages
from podway.launch.targets.machines.target import Machines
from podway.launch.verbs.launch import file
from podway.launch.verbs.verb import Stage, Verb


@dataclasses.dataclass(frozen=True)
class LaunchMachines(Stage):
    """An experiment, where its artefacts lie, and the machines."""

    target: Machines = Machines()
    """The hosts, and what runs on them."""
    target_file: str = ""
    """Python file with a function target() that returns a Machines(…). Its fields can be changed
    by --target.… as those of a config."""
    launch_name: str = ""
    """Name of the launch. Without one it is made of the config: the same config on the same workdir
    is the same launch."""
    dry_run: bool = False
    """Print the plan and the commands of each host, and start nothing. Asks no host."""
    yes: bool = False
    """Don't ask."""
    resume: bool = False
    """Start again what has failed: it goes on from its last save."""
    detach: bool = False
    """Don't follow the launch to its end."""


def launch(options: LaunchMachines) -> None:
    """Plans, and, unless it is a dry run, checks, asks, starts and follows."""
    check(
        type(options.experiment.model) is not Model,
        f"the experiment {options.experiment.name!r} has no model: set `model` and `optimizer`",
    )
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # nothing runs here

    from podway.launch.targets import frozen
    from podway.launch.targets.machines import plan, remote
    from podway.launch.targets.machines.launch import Launch

    found = Launch(
        options.experiment,
        frozen.freeze(options.experiment),
        options.target,
        options.workdir,
        options.launch_name,
    )
    check(
        not (stages.is_fitted(options.experiment) and len(found.processes) > 1),
        f"{type(options.experiment.model).__name__} is fitted by one process; give one host",
    )
    missing = found.problems()
    with remote.connected(options.target) as machines:
        first = found.processes[0].host
        coordinator = options.target.coordinator or machines.ssh.address(first)
        if options.dry_run:
            print(plan.commands(found, coordinator))
            print(plan.text(found, coordinator, missing), file=sys.stderr)
            sys.exit(1 if missing else 0)
        print(plan.text(found, coordinator, missing), flush=True)
        if missing:
            raise ConfigError(f"nothing is launched: {missing[0]}")
        _act(options, found, machines, coordinator)


def _act(options: LaunchMachines, found: Any, machines: Any, coordinator: str) -> None:
    """Finds the launch, or starts it; follows it."""
    from podway.launch.jobs import registry
    from podway.launch.jobs.registry import Record
    from podway.launch.targets.machines import status
    from podway.launch.targets.machines.control import Control

    _check_elsewhere(found)
    control = Control(found.name, machines)
    seen = control.look()
    _check_same(found, seen)
    now = status.of(seen)
    record = Record(
        name=found.name,
        kind="machines",
        target=found.target,
        experiment=found.experiment.name,
        workdir=found.workdir,
        hash=found.hash,
        launched=time.time(),
    )
    if now.phase == "complete" and not options.resume:
        print(f"{found.name} is complete; --resume runs it again")
        return
    if now.phase == "failed" and not options.resume:
        raise _failed(found.name, now.lines, " --resume starts it again from its last save")
    if now.phase in ("running", "stopping", "lost"):
        print(f"{found.name} is there already")
    else:
        _start(options, found, control, coordinator)
    registry.write(record)
    if options.detach:
        print(f"`podway logs {found.name}` follows it, `podway stop {found.name}` ends it")
        return
    _follow(found, control, coordinator, record)


def _check_same(found: Any, seen: Any) -> None:
    from podway.launch.targets.error import LaunchError

    for each in seen:
        if each.alive and each.record and each.record["hash"] != found.hash:
            raise LaunchError(
                f"{each.process.host}: the name {found.name!r} is taken by another launch, of other"
                " content; give another --launch-name, or stop that one"
            )


def _check_elsewhere(found: Any) -> None:
    """Raises LaunchError: the launch runs on other hosts."""
    from podway.launch.jobs import registry
    from podway.launch.targets.error import LaunchError
    from podway.launch.targets.machines import status
    from podway.launch.targets.machines.control import Control
    from podway.launch.targets.machines.remote import connected

    record = registry.find(found.name)
    if record is None or not isinstance(record.target, Machines) or record.end == "complete":
        return
    if record.target.hosts == found.target.hosts:
        return
    with connected(record.target) as others:
        now = status.of(Control(found.name, others).look())
    if now.running:
        raise LaunchError(
            f"{found.name} runs on {', '.join(record.target.hosts)}; `podway stop {found.name}`"
            " ends it there"
        )


def _start(options: LaunchMachines, found: Any, control: Any, coordinator: str) -> None:
    from podway.launch.targets.error import LaunchError
    from podway.launch.targets.machines import check as hosts
    from podway.launch.targets.machines.control import attempt

    install = bool(found.target.install)
    _refuse(hosts.problems(found, control.remote, coordinator, install=install))
    print(f"checked: {len(found.target.hosts)} hosts", flush=True)
    if not options.yes and not _agreed():
        raise LaunchError("nothing is launched; --yes launches without asking")
    if install:
        print("installing", flush=True)
        control.install()
        _refuse(hosts.problems(found, control.remote, coordinator, install=False))
    control.start(found, coordinator, attempt())
    print(f"started {found.name}", flush=True)


def _refuse(wrong: list[str]) -> None:
    """Raises LaunchError if there are problems, all of which it prints."""
    from podway.launch.targets.error import LaunchError

    if not wrong:
        return
    print("before this can be launched:", *(f"  - {each}" for each in wrong), sep="\n", flush=True)
    more = f", and {len(wrong) - 1} more" if wrong[1:] else ""
    raise LaunchError(f"nothing is launched: {wrong[0]}{more}")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        return False
    return input("launch it? [y/N] ").strip().lower() in ("y", "yes")


def _follow(found: Any, control: Any, coordinator: str, record: Any) -> None:
    from podway.launch.jobs import machines, registry
    from podway.launch.targets.machines import follow

    end = machines.follow_to_end(record, control, follow.Mending(control, found, coordinator))
    if end is None:
        return
    registry.ended(record, end.phase)
    if end.phase == "failed":
        raise _failed(found.name, end.lines, "")
    if end.phase == "stopped":
        raise stages.Stopped(f"{found.name} was stopped; the same command goes on")


def _failed(name: str, lines: tuple[str, ...], remedy: str) -> Exception:
    from podway.launch.targets.error import FailedError

    return FailedError(f"{name} has failed: {'; '.join(lines)}.{remedy}".removesuffix("."))


def target(overrides: list[str]) -> dict[str, Any]:
    """The target of --target-file, whose fields the other options change."""
    return file.chosen(overrides, Machines)


VERB = Verb(
    "train on machines by ssh",
    LaunchMachines,
    launch,
    target,
    example="podway launch machines CONFIG --target.hosts gpu1 gpu2 --workdir /shared/w --dry-run",
)
