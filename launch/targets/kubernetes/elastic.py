"""A launch that goes on with fewer slices while there are no machines for all, and later with all.

A JobSet's number of slices cannot be changed while it lives: its processes save and end, and it is
made anew with another number. Neither the state nor the input position depends on that. Whether
machines are back the scheduler says, by pods that hold them (launch/targets/kubernetes/held.py).
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

from podway.framework.page import text
from podway.launch.targets.kubernetes import follow, held, status, training
from podway.launch.targets.kubernetes.cluster import Cluster, UnreachableError
from podway.launch.targets.kubernetes.launch import Launch

PATIENCE = 600.0
"""Seconds without machines for all slices, after which it goes on with fewer."""
SETTLED = 15.0
"""Seconds that the number of slices that have machines must be the same, as after a restart all
pods are new. Never more than the patience."""
_INDEX = "jobset.sigs.k8s.io/job-index"


@dataclasses.dataclass
class _Wait:
    """What is known of slices that have no machines.

    Attributes:
      since: when they were first seen to lack (s, monotonic clock). A restart, which begins with
        the data, does not change it.
      placed: slices that have machines.
      settled: since when it is that number.
      told: what was said about it.
    """

    since: float
    placed: int = -1
    settled: float = 0.0
    told: str = ""


class Elastic:
    """Keeps a launch on as many slices as there are machines for, as long as it is followed.

    Args:
      cluster: where it is.
      launch: with all its slices.
      sizes: the numbers of slices that can train it, from the largest, which is all.
      patience: seconds until a slice that has no machines is given up, for the time being.
      say: prints a line.
    """

    def __init__(
        self,
        cluster: Cluster,
        launch: Launch,
        sizes: Sequence[int],
        patience: float = PATIENCE,
        say: Callable[[str], None] = lambda line: print(line, flush=True),
    ):
        self._cluster, self._launch, self._sizes = cluster, launch, sizes
        self._patience, self._say = patience, say
        self._settles = min(SETTLED, patience)
        self._slices = 0  # not known yet
        self._submitted: int | None = None
        self._wait: _Wait | None = None
        self._losses, self._lost = 0, 0.0
        self._holding = False

    def look(self, now: status.Status, pods: Sequence[dict[str, Any]]) -> None:
        """Does what the launch needs, and says it; `now`, `pods`: as they were just seen."""
        try:
            if not self._slices:
                self._begin()
            if now.over or now.stage == "export":
                self._release()
            elif now.phase not in ("running", "waiting"):  # it is queued, or ends
                self._wait = None
            elif now.stage == "train" and now.phase == "running":
                self._wait = None
                self._grow()
            elif now.stage == "train":
                self._shrink(pods)
        except UnreachableError:
            return  # nothing was begun; who follows says it, and looks again

    def _begin(self) -> None:
        job_set = self._cluster.get(training.API, "JobSet", self._launch.name)
        if job_set is None:
            return
        self._slices = _replicas(job_set)
        self._submitted = training.submitted(job_set)
        # One that holds for no launch is left from somebody who followed, and was ended.
        there = self._cluster.find(held.job_set(self._launch, 1, ""))
        if there is not None and not there["metadata"].get("ownerReferences"):
            self._cluster.delete(there)
            return
        self._holding = there is not None

    def _shrink(self, pods: Sequence[dict[str, Any]]) -> None:
        """Goes on with the slices that have machines, once the others have waited long enough."""
        clock = time.monotonic()
        wait = self._wait = self._wait or _Wait(clock)
        found = placed(pods, self._launch.pool.hosts)
        if found != wait.placed:
            wait.placed, wait.settled = found, clock
        if clock - wait.since < self._patience or clock - wait.settled < self._settles:
            return
        if not status.unscheduled(pods):  # it is not machines that are lacking
            return
        size = max((each for each in self._sizes if each <= found), default=0)
        if not 0 < size < self._slices:
            self._tell(wait, f"machines for {found} of {self._slices} slices, for too few to go on")
            return
        spent = text.span(clock - wait.since)
        self._say(
            f"  machines for {found} of {self._slices} slices since {spent}: it saves, and goes on"
            f" with {size}"
        )
        self._release()
        self._again(size)
        self._losses, self._lost = self._losses + 1, clock

    def _grow(self) -> None:
        """Asks for the machines that are missing, and goes on with more slices when they are there.

        After the first loss they are asked for at once, after the second one after the patience,
        then after twice, four times as long: machines that come and go would cost ever more.
        """
        missing = self._sizes[0] - self._slices
        if missing <= 0:
            return
        pause = self._patience * 2 ** (self._losses - 2) if self._losses > 1 else 0.0
        if time.monotonic() - self._lost < pause:
            return
        if not self._holding:
            self._hold(missing)
            return
        pods = self._cluster.list("v1", "Pod", labels=held.label(self._launch))
        back = placed(pods, self._launch.pool.hosts, running=True)
        size = max(each for each in self._sizes if each <= self._slices + back)
        if size <= self._slices:
            return
        self._say(
            f"  machines for {back} more slices: it saves, and goes on with {size} of"
            f" {self._sizes[0]}"
        )
        # From now on they are held for the one that comes: this one's end would free them.
        self._cluster.apply([held.job_set(self._launch, missing, "")])
        self._again(size)

    def _hold(self, missing: int) -> None:
        owner = self._cluster.get(training.API, "JobSet", self._launch.name)
        if owner is None:
            return
        wanted = held.job_set(self._launch, missing, owner["metadata"]["uid"])
        self._cluster.apply([wanted])
        self._holding = True
        self._say(f"  machines for {missing} more slices are asked for")

    def _release(self) -> None:
        if self._holding:
            self._cluster.delete(held.job_set(self._launch, 1, ""))
        self._holding = False

    def _again(self, size: int) -> None:
        """Ends the JobSet, whose processes save, and makes it anew. What was begun is completed."""
        target = dataclasses.replace(self._launch.target, slices=size)
        smaller = dataclasses.replace(self._launch, target=target)
        wanted = training.job_set(smaller, self._submitted)
        self._cluster.delete(wanted)
        follow.wait_until_gone(self._cluster, self._launch.name)
        _insist(self._gone)
        _insist(lambda: self._cluster.apply([wanted]))
        self._slices, self._wait = size, None

    def _gone(self) -> None:
        self._release()
        name = held.name(self._launch)
        follow.wait_until_gone(self._cluster, name)

    def _tell(self, wait: _Wait, line: str) -> None:
        if wait.told != line:
            self._say(f"  {line}")
        wait.told = line


def placed(pods: Sequence[dict[str, Any]], hosts: int, *, running: bool = False) -> int:
    """Slices all of whose pods have a machine; `running`: and run on it."""
    count = dict[str, int]()
    for pod in pods:
        labels, phase = pod["metadata"].get("labels") or {}, pod["status"].get("phase")
        if pod["metadata"].get("deletionTimestamp") or labels.get(status.ROLE) != "train":
            continue
        if (pod.get("spec") or {}).get("nodeName") and phase in (
            ("Running",) if running else ("Pending", "Running", "Succeeded")
        ):
            count[labels[_INDEX]] = count.get(labels[_INDEX], 0) + 1
    return sum(each >= hosts for each in count.values())


def _replicas(job_set: dict[str, Any]) -> int:
    parts = {each["name"]: each for each in job_set["spec"]["replicatedJobs"]}
    return int(parts["train"]["replicas"])


def _insist(act: Callable[[], object]) -> None:
    """Does what must be done now, also where the cluster does not answer for a while."""
    began = time.monotonic()
    while True:
        try:
            act()
            return
        except UnreachableError:
            if time.monotonic() - began > follow.PATIENCE:
                raise
            time.sleep(follow.INTERVAL)
