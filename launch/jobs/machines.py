"""`podway jobs`, `podway logs` and `podway stop`, for a launch on machines."""

import sys
import time
from collections.abc import Sequence
from typing import Any

from podway.launch.jobs import account, registry
from podway.launch.jobs.goodput import Goodput
from podway.launch.jobs.registry import Record
from podway.launch.targets.error import LaunchError
from podway.launch.targets.machines import follow, status
from podway.launch.targets.machines.control import Control
from podway.launch.targets.machines.launch import processes
from podway.launch.targets.machines.remote import connected
from podway.launch.targets.machines.target import Machines


def row(record: Record) -> dict[str, Any]:
    """What is listed of a launch. Who was seen to be complete is not asked again."""
    target = _target(record)
    now = status.Status(record.end, "", ())
    if record.end != "complete":
        with connected(target) as remote:
            try:
                now = status.of(Control(record.name, remote).look())
            except LaunchError as error:
                now = status.Status("unknown", "", (str(error),))
        if now.over and now.phase != record.end:
            registry.ended(record, now.phase)
    return {
        "launch": record.name,
        "experiment": record.experiment,
        "where": f"{len(target.hosts)} hosts, {target.hosts[0]}" + " …" * (len(target.hosts) > 1),
        "phase": now.phase,
        "stage": now.stage,
        "processes": f"{now.running}/{now.wanted}" if now.wanted else "",
        "restarts": "",
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.launched)),
        "workdir": record.workdir,
        "says": now.lines[0] if now.lines else "",
    }


def logs(record: Record, process: int, tail: int) -> None:
    """Prints what a process writes, until the launch is over, or its last lines."""
    target = _target(record)
    last = len(processes(target)) - 1
    if not 0 <= process <= last:
        raise LaunchError(f"there is no process {process} of {record.name}; give 0 to {last}")
    with connected(target) as remote:
        control = Control(record.name, remote)
        if tail:
            answer = control.look(of=process, tail=tail)[process]
            if answer.answer is None:
                raise LaunchError(answer.error)
            print(answer.answer["log"], end="")
            return
        end = follow_to_end(record, control, process=process)
    if end is None:
        return
    if end.over:
        registry.ended(record, end.phase)
    if end.phase in ("failed", "lost"):
        sys.exit(1)


def follow_to_end(
    record: Record, control: Control, mending: follow.Mending | None = None, *, process: int = 0
) -> status.Status | None:
    """Follows a launch, and says now and then, and at its end, where its time went.

    Returns None: a person has enough.
    """
    spent, latest = Goodput(), dict[str, Any]()

    def besides(seen: Sequence[status.Seen]) -> None:
        latest.update(seen[0].record)
        spent.look(_launch(record, latest))

    try:
        end = follow.until_over(control, mending, process=process, besides=besides)
    except KeyboardInterrupt:
        follow.say_detached(record.name)
        return None
    if (whole := account.of(_launch(record, latest))) is not None:
        print(f"  {whole}", flush=True)
    return end


def _launch(record: Record, state: dict[str, Any]) -> account.Launch | None:
    """What leads to the run; None: its first process never began, or another version began it."""
    if "submitted" not in state:
        return None
    return account.Launch(record.workdir, record.experiment, state["submitted"])


def stop(record: Record, *, wait: bool) -> None:
    """Ends a launch: its processes get SIGTERM and save. Raises LaunchError: not all could be."""
    name = record.name
    with connected(_target(record)) as remote:
        control = Control(name, remote)
        before = control.look()
        if not any(each.alive for each in before):
            now = status.of(before)
            if now.phase == "unreachable":
                raise LaunchError(f"{name}: {'; '.join(now.lines)}")
            print(f"{name} does not run: {now.phase}")
            return
        seen = control.stop()
        print(f"{name}: its processes save, and end", flush=True)
        while wait and any(each.alive for each in seen):
            time.sleep(1)
            seen = control.look()
    missed = [each.error for each in seen if each.answer is None]
    if missed:
        raise LaunchError(
            f"{name}: not all processes could be asked to end: {'; '.join(missed)}; stop it again"
            " when they answer"
        )
    if not wait:
        return
    now = status.of(seen)
    registry.ended(record, now.phase)
    if now.phase == "failed":
        raise LaunchError(f"{name} has failed: {'; '.join(now.lines)}")
    if now.phase == "complete":
        print(f"{name} is complete")
    else:
        print(f"{name}: stopped; the same `podway launch` goes on from its last save")


def _target(record: Record) -> Machines:
    assert isinstance(record.target, Machines)
    return record.target
