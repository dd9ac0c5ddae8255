"""A run that goes on with fewer processes when one is lost for good, and with all when it is back.

State and input position depend neither on the mesh nor on the number of processes, so a start with
others is a restart like any. What is decided here is with whom.
"""

import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from podway.framework.config import Experiment
from podway.framework.error import ConfigError, check
from podway.launch.supervise import Crew, End, Worker

FAILURES = 2
"""Failures of a process in a row, without a save between them, after which it counts as lost."""
LOOK = 1.0
"""Seconds between two looks for a save, while a process is lost."""


def sizes(
    experiment: Experiment, parts: int, devices: int, kind: str = "processes", option: str = ""
) -> list[int]:
    """The numbers of processes, or of slices, from the largest, that can train an experiment.

    Args:
      experiment: whose mesh must cover all devices, and whose batch must divide among them.
      parts: the largest number.
      devices: that each of them has.
      kind: what they are: "slices" are an axis of the mesh.
      option: by which their number is given.

    Raises ConfigError: that number cannot train it, or no smaller one can.
    """
    from podway.framework.devices import mesh

    def refusal(count: int) -> str:
        everything = count * devices
        try:
            shape = mesh.shape(experiment.mesh, everything, count if kind == "slices" else 1)
        except ConfigError as error:
            return str(error)
        shares = shape["slice"] * shape["data"] * shape["fsdp"]
        if shares * shape["tensor"] != everything:
            return f"the mesh {shape} leaves some of {everything} devices out; set mesh.data to −1"
        multiple = shares * experiment.trainer.accumulate
        if experiment.trainer.batch_size % multiple:
            return (
                f"trainer.batch_size = {experiment.trainer.batch_size} is no multiple of {multiple}"
            )
        return ""

    refused = {count: refusal(count) for count in range(parts, 0, -1)}
    check(not refused[parts], f"{option or '--num-processes'} {parts}: {refused[parts]}")
    found = [count for count, why in refused.items() if not why]
    reasons = "; ".join(f"with {count}, {why}" for count, why in refused.items() if why)
    check(
        len(found) > 1,
        f"--elastic: no number of {kind} below {parts} can train it: {reasons or 'there is none'}",
    )
    return found


def devices() -> int:
    """What a process of this machine has; asked in one that ends, as asking takes hold of them."""
    program = "import jax; print(jax.local_device_count())"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ConfigError(
            f"--elastic: JAX finds no device here: {(done.stderr.splitlines() or [''])[-1]}"
        )
    return int(done.stdout.split()[-1])


@dataclasses.dataclass
class Lost:
    """A process that is lost.

    Attributes:
      times: that it was.
      saves: seen since the last time.
    """

    times: int = 1
    saves: int = 0

    def due(self) -> bool:
        """Whether to try it again: after the first save, then after two, four, …"""
        return self.saves >= 2 ** (self.times - 1)


class Elastic(Crew):
    """As many of the processes as are there and as can share the work.

    A process is lost when it fails FAILURES times in a row without a save, or again when it was
    lost before, or when `there` says so. It is tried again at a save.

    Args:
      make: the workers for some of the processes, which are numbered from 0 on.
      sizes: how many can work, from the largest, which is all.
      progress: the last step that is saved.
      there: whether a process can be started at all, as far as that is known.
    """

    def __init__(
        self,
        make: Callable[[Sequence[int]], Sequence[Worker]],
        sizes: Sequence[int],
        progress: Callable[[], int],
        there: Callable[[int], bool] = lambda _: True,
    ):
        super().__init__(lambda: make(self._running))
        self._sizes, self._progress, self._there = sizes, progress, there
        self._running: list[int] = list(range(sizes[0]))
        self._lost = dict[int, Lost]()
        self._back = dict[int, Lost]()  # lost before, and started again
        self._failures = dict[int, int]()
        self._saved = progress()
        self._looked = 0.0

    def workers(self) -> Sequence[Worker]:
        """The largest number of them that is there."""
        self._take(self._progress())
        chosen = self._choice(self._lost)
        self._running = chosen or self._running  # who is not there will fail, and be counted
        return super().workers()

    def failed(self, end: End, saved: int) -> str:
        """Takes note of a failure; says so if the process is lost."""
        self._take(saved)
        process = self._running[end.guilty]
        self._failures[process] = self._failures.get(process, 0) + 1
        before = self._back.pop(process, None)
        known = self._there(process)
        if known and not before and self._failures[process] < FAILURES:
            return ""
        after = self._choice({**self._lost, process: Lost()})
        if not after:
            return ""
        self._lost[process] = Lost(before.times + 1 if before else 1)
        self._failures.pop(process)
        why = "it failed again" if before else f"it failed {FAILURES} times in a row"
        why = why if known else "it is not there any more"
        return f"process {process} is lost ({why}): {len(after)} of {self._sizes[0]} go on"

    def change(self) -> str:
        """At a save, whether there are more again than run."""
        now = time.monotonic()
        if len(self._running) == self._sizes[0] or now - self._looked < LOOK:
            return ""
        self._looked = now
        if not self._take(self._progress()):
            return ""
        due = [each for each, lost in self._lost.items() if lost.due() and self._there(each)]
        rest = {each: lost for each, lost in self._lost.items() if each not in due}
        chosen = self._choice(rest)
        if len(chosen) <= len(self._running):
            return ""
        self._back |= {each: self._lost[each] for each in due if each in chosen}
        self._lost = {each: lost for each, lost in self._lost.items() if each not in self._back}
        return (
            f"step {self._saved} is saved: from {len(self._running)} to {len(chosen)} of"
            f" {self._sizes[0]} processes"
        )

    def _take(self, saved: int) -> bool:
        """Takes note of what is saved; whether that is more than before."""
        if saved <= self._saved:
            return False
        self._saved = saved
        self._failures.clear()
        if any(each in self._running for each in self._back):
            self._back.clear()
        for lost in self._lost.values():
            lost.saves += 1
        return True

    def _choice(self, lost: "dict[int, Lost]") -> list[int]:
        """The largest number of processes that can work without those; [] if none can."""
        there = [each for each in range(self._sizes[0]) if each not in lost and self._there(each)]
        return there[: max((size for size in self._sizes if size <= len(there)), default=0)]
