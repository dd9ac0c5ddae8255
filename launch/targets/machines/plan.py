"""What will be done on machines, and what is in the way; and every command, for a dry run."""

import shlex
from collections.abc import Sequence

from podway.launch.targets.machines.launch import Launch, Process, folder
from podway.launch.targets.machines.remote import python
from podway.launch.targets.machines.ssh import Ssh


def text(launch: Launch, coordinator: str, missing: Sequence[str]) -> str:
    """The plan."""
    target, count = launch.target, len(launch.processes)
    first = target.hosts[0]
    alone = "data, evaluation and export" if target.export else "data"
    meet = f", which meet at {coordinator}:{target.port}" if count > 1 else ""
    if target.distributed:
        meet = ", of which the platform tells them"
    lines = [
        f"launch {launch.name}: {launch.experiment.name} on {_count(len(target.hosts), 'host')}",
        f"  hosts      {' '.join(target.hosts)}; {alone} on {first}",
        f"  processes  {count}{meet}",
        f"  python     {target.python}" + (f", after `{target.install}`" if target.install else ""),
        f"  workdir    {launch.workdir}",
        "  memory     not compiled, nor a time or a price predicted: what the hosts have is not"
        " known here",
        f"  restarts   {target.max_restarts} without a new checkpoint",
    ]
    if missing:
        lines += ["before this can be launched:", *(f"  - {each}" for each in missing)]
    return "\n".join(lines)


def commands(launch: Launch, coordinator: str) -> str:
    """What runs on each host, as it would be typed there."""
    found = []
    for process in launch.processes:
        found += [f"# {process}", *_of(launch, process, coordinator), ""]
    return "\n".join(found[:-1])


def _of(launch: Launch, process: Process, coordinator: str) -> list[str]:
    target = launch.target
    ssh = Ssh(target.ssh_options, target.connect_timeout).command(process.host)
    home = folder(launch.name, process)
    files, size = len(launch.frozen.files), launch.frozen.size
    lines = [
        f"{shlex.join(ssh)} {shlex.quote(python(target.python))}"
        f"  # checks; copies {_count(files, 'file')} ({size:,} bytes) to {home}; starts, detached:"
    ]
    if target.install and process.local == 0:
        lines.append(target.install)
    lines.append(f"cd {home}")
    lines += [f"export {_pair(pair)}" for pair in target.environment]
    for stage in launch.stages(process, coordinator):
        if not stage.arguments:
            lines.append(f"# waits until process 0 has built the dataset in {launch.workdir}")
            continue
        own = [_pair(f"{name}={value}") for name, value in stage.environment.items()]
        program = _python(target.python)
        lines.append(" ".join([*own, program, "-m podway.launch.cli", shlex.join(stage.arguments)]))
    return lines


def _python(path: str) -> str:
    return f"~/{shlex.quote(path[2:])}" if path.startswith("~/") else shlex.quote(path)


def _pair(pair: str) -> str:
    name, _, value = pair.partition("=")
    return f"{name}={shlex.quote(value)}"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
