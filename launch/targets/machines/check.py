"""Whether machines can run a launch: everything is asked before anything is started."""

import dataclasses
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent import futures
from typing import Any

from podway.framework import codec
from podway.launch.targets.error import LaunchError
from podway.launch.targets.machines import agent, identity
from podway.launch.targets.machines.launch import Launch, Process, folder
from podway.launch.targets.machines.remote import Remote, each, encoded

CLOCKS = 10.0
"""Seconds that clocks may differ by, as certificates and tokens have times."""
VISIBLE = 15.0
"""Seconds within which a file of one host must be seen by the others, and its port reached."""
IMPORTS = 300.0
"""Seconds that a host may take to import Podway."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a host said of itself.

    Attributes:
      process: the first one that shall run there.
      said: by the agent; None: nothing.
      error: why not.
      ahead: seconds that its clock is ahead of this machine's.
      unsure: seconds that `ahead` may be wrong by: the answer's way.
    """

    process: Process
    said: dict[str, Any] | None
    error: str = ""
    ahead: float = 0.0
    unsure: float = 0.0


def problems(launch: Launch, remote: Remote, coordinator: str, *, install: bool) -> list[str]:
    """What is wrong with all hosts, a sentence each; [] where all may start.

    Args:
      launch: what shall run.
      remote: the hosts.
      coordinator: address of the first one.
      install: whether Podway is still to be brought there.
    """
    firsts = [process for process in launch.processes if process.local == 0]
    found = each(lambda process: _ask(launch, remote, process), firsts)
    mine = identity.of(launch.experiment)
    wrong = list(of(launch, found, mine, install=install))
    if not wrong and len(firsts) > 1:
        wrong += meeting(launch, remote, firsts, coordinator)
    return wrong


def _ask(launch: Launch, remote: Remote, process: Process) -> Facts:
    try:
        began = time.time()
        remote.ask(process.host, "look", folder=folder(launch.name, process))
        before = time.time()
        said = remote.ask(
            process.host,
            "facts",
            timeout=IMPORTS,
            folder=folder(launch.name, process),
            files=encoded(launch.frozen.files),
            workdir=launch.workdir,
            environment=remote.target.variables,
        )
    except LaunchError as error:
        return Facts(process, None, str(error))
    # The clock is read when the agent begins; its way is as long as that of the look before.
    way = before - began
    return Facts(process, said, "", said.get("time", before) - (before + way / 2), way / 2)


def of(
    launch: Launch, found: Sequence[Facts], mine: dict[str, Any], *, install: bool
) -> Iterator[str]:
    """What is wrong with hosts, by what each said of itself, and against each other."""
    for facts in found:
        yield from _of_host(launch, facts, mine, install=install)
    whole = [facts for facts in found if facts.said and "identity" in facts.said]
    for facts in whole[1:]:
        yield from _of_pair(whole[0], facts)


def _of_host(launch: Launch, facts: Facts, mine: dict[str, Any], *, install: bool) -> Iterator[str]:
    host, said, target = facts.process.host, facts.said, launch.target
    if said is None:
        yield facts.error
        return
    version = ".".join(map(str, said["python"]))
    if tuple(said["python"][:2]) < agent.OLDEST:
        oldest = ".".join(map(str, agent.OLDEST))
        yield f"{host}: {target.python} is Python {version}; Podway needs {oldest} or later"
        return
    if said["alive"]:
        yield f"{host}: a process of {launch.name} runs there already"
    if said["home"]:
        yield f"{host}: {agent.LAUNCHES} cannot be written: {said['home']}"
    if said["workdir"] and not (install and "not installed" in said["workdir"]):
        yield f"{host}: the workdir {launch.workdir} cannot be written: {said['workdir']}"
    if said["others"] and said["accelerators"]:
        yield (
            f"{host}: {', '.join(said['others'])} runs there, on the same accelerators; wait for"
            " its end, or `podway stop` it"
        )
    if said["ends_at_logout"]:
        yield (
            f"{host}: it ends a user's processes at the end of the last login; allow them once by"
            " `loginctl enable-linger`"
        )
    wanted = target.processes_per_host * target.gpus_per_process
    if wanted > said["accelerators"] and wanted:
        yield (
            f"{host}: {wanted} GPUs are wanted (target.processes_per_host ×"
            f" target.gpus_per_process), and {said['accelerators']} are there"
        )
    if said["accelerators"] and target.processes_per_host > 1 and not target.gpus_per_process:
        yield (
            f"{host}: its {target.processes_per_host} processes would all take the same"
            f" {said['accelerators']} accelerators; give target.gpus_per_process"
        )
    if not install:
        yield from _of_identity(launch, facts, mine)


def _of_identity(launch: Launch, facts: Facts, mine: dict[str, Any]) -> Iterator[str]:
    assert facts.said
    host, theirs, target = facts.process.host, facts.said["identity"], launch.target
    if "error" in theirs:
        error = theirs["error"]
        if "No module named" in error:
            yield (
                f"{host}: {target.python} misses a package ({error}); install podway[data,train]"
                " there, or give --target.install"
            )
        else:
            yield f"{host}: Podway there cannot read the experiment: {error}"
        return
    if theirs["podway"] != mine["podway"]:
        yield (
            f"{host}: Podway {theirs['podway']} is installed there, and {mine['podway']} here;"
            " install the same"
        )
    elif other := codec.difference(theirs["code"], mine["code"]):
        yield (
            f"{host}: the code there is not the code here, although both are Podway"
            f" {mine['podway']} ({other}); install the same commit"
        )
    if error := theirs["raw"].get("error"):
        yield f"{host}: {error}"
    if target.export and facts.process.number == 0 and not theirs["exports"]:
        yield (
            f"{host}: {identity.EXPORT} is not installed, which the export needs; install"
            " podway[export] there, or give --target.no-export"
        )


def _of_pair(first: Facts, facts: Facts) -> Iterator[str]:
    """What is wrong between the first host and another one."""
    assert first.said
    assert facts.said
    host, ours, theirs = facts.process.host, first.said["identity"], facts.said["identity"]
    if "error" not in ours and "error" not in theirs:
        if other := codec.difference(ours["packages"], theirs["packages"]):
            yield f"{host}: other packages than on {first.process.host}: {other}"
        if "files" in ours["raw"] and "files" in theirs["raw"] and ours["raw"] != theirs["raw"]:
            yield f"{host}: it sees other raw files than {first.process.host}"
    apart = facts.ahead - first.ahead
    if abs(apart) - facts.unsure - first.unsure > CLOCKS:
        way = "ahead of" if apart > 0 else "behind"
        yield (
            f"{host}: its clock is {abs(apart):.0f} s {way} that of {first.process.host}; set both"
            " by NTP"
        )


def meeting(
    launch: Launch, remote: Remote, firsts: Sequence[Process], coordinator: str
) -> list[str]:
    """What keeps the hosts apart: a workdir that they do not share, a port that is not reached."""
    several = len(launch.processes) > 1 and not launch.target.distributed
    name, text = f".podway-{secrets.token_hex(8)}", secrets.token_hex(8)
    port = launch.target.port if several else 0
    common = {"workdir": launch.workdir, "name": name, "environment": remote.target.variables}
    host = firsts[0].host
    new = remote.ask(host, "share", text=text, **common)["new"]
    try:
        with futures.ThreadPoolExecutor(1) as pool:
            # A little longer than the guests try.
            options = {"port": port, "guests": len(firsts) - 1, "seconds": VISIBLE + 5}
            server = pool.submit(remote.ask, host, "listen", **options) if port else None

            def join(process: Process) -> dict[str, Any]:
                return remote.ask(
                    process.host,
                    "join",
                    text=text,
                    address=coordinator,
                    port=port,
                    seconds=VISIBLE,
                    **common,
                )

            guests = each(join, firsts[1:])
            taken = server.result()["error"] if server else ""
    finally:
        remote.ask(host, "unshare", new=new, **common)
    return list(_apart(launch, firsts, guests, coordinator, taken))


def _apart(
    launch: Launch, firsts: Sequence[Process], guests: list[Any], coordinator: str, taken: str
) -> Iterator[str]:
    host, port = firsts[0].host, launch.target.port
    if taken:
        yield f"{host}: port {port} cannot be used ({taken}); give another --target.port"
    for process, said in zip(firsts[1:], guests, strict=True):
        if isinstance(said, LaunchError):
            yield str(said)
            continue
        if not said["sees"]:
            yield (
                f"{process.host}: it does not see what {host} writes to {launch.workdir}; give a"
                " --workdir that all hosts share"
            )
        if not said["reached"] and not taken:
            yield (
                f"{process.host}: it does not reach {coordinator}:{port} of {host}"
                f" ({said['error']}); open the port, or give target.coordinator, the first host's"
                " address in their network"
            )
