"""What a launch is doing, in plain words, from what the cluster says of its objects."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from podway.framework import exit_codes
from podway.launch.targets.kubernetes import events as told

STAGES = ("data", "train", "export")
ROLE = "jobset.sigs.k8s.io/replicatedjob-name"
"""Label of pods: of which stage they are."""
_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_STARTS = ("ContainerCreating", "PodInitializing")
"""Why a container waits that is about to start."""


@dataclasses.dataclass(frozen=True)
class Status:
    """Of a launch, at one moment.

    Attributes:
      phase: "queued", "waiting", "running", "complete", "failed", "stopping" or "stopped".
      stage: which part of it: "data", "train" or "export"; "" before the first.
      lines: what is to be said of it, the most important first.
      restarts: of all processes, so far.
      running: pods that run.
      wanted: pods of the stage.
      happened: how processes ended and what that led to, in its order, as far as the cluster still
        knows.
    """

    phase: str
    stage: str
    lines: tuple[str, ...]
    restarts: int = 0
    running: int = 0
    wanted: int = 0
    happened: tuple[told.Event, ...] = ()

    @property
    def over(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.phase in ("complete", "failed", "stopped")

    def __str__(self) -> str:
        where = f", {self.stage}" if self.stage else ""
        count = f": {self.running} of {self.wanted} pods run" if self.wanted else ""
        several = "s" * (self.restarts != 1)
        restarts = f", {self.restarts} restart{several}" if self.restarts else ""
        return f"{self.phase}{where}{count}{restarts}"


def of(
    job_set: dict[str, Any],
    pods: Sequence[dict[str, Any]],
    events: Sequence[dict[str, Any]] = (),
    workloads: Sequence[dict[str, Any]] = (),
) -> Status:
    """The status of a launch.

    Args:
      job_set: as the cluster has it.
      pods: of it.
      events: of the namespace.
      workloads: of Kueue, that stand for it.
    """
    mine = told.of(job_set, events)
    now = _of(job_set, pods, mine, workloads)
    return dataclasses.replace(now, happened=told.happened(mine))


def _of(
    job_set: dict[str, Any],
    pods: Sequence[dict[str, Any]],
    events: Sequence[dict[str, Any]],
    workloads: Sequence[dict[str, Any]],
) -> Status:
    status = job_set.get("status") or {}
    conditions = _true(status)
    restarts = int(status.get("restarts") or 0)
    stage = _stage(job_set, status)
    mine = [pod for pod in pods if _role(pod) == stage and not _deleted(pod)]
    running = sum(pod["status"].get("phase") in ("Running", "Succeeded") for pod in mine)
    wanted = _wanted(job_set, stage)
    counted: dict[str, Any] = {"restarts": restarts, "running": running, "wanted": wanted}
    if "Completed" in conditions:
        return Status("complete", "", ("all stages are complete",), restarts)
    if "Failed" in conditions:
        lines, failed = _failures(pods), conditions["Failed"]
        if not (lines and failed.get("reason") == told.REFUSED):  # which says less than they do
            lines = [*lines, failed.get("message", "")]
        return Status("failed", stage, tuple(filter(None, lines)), restarts)
    if job_set["metadata"].get("deletionTimestamp"):
        return Status("stopping", stage, ("its processes save, and end",), **counted)
    if (job_set.get("spec") or {}).get("suspend"):
        return Status("queued", stage, tuple(_queued(workloads)), restarts)
    lines = [*pending(mine, events), *_failures(mine)]
    if running < wanted:
        return Status("waiting", stage, (*lines, *told.hindrances(events)), **counted)
    return Status("running", stage, tuple(lines), **counted)


def _true(status: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found = status.get("conditions") or []
    return {each["type"]: each for each in found if each["status"] == "True"}


def _role(pod: dict[str, Any]) -> str:
    return (pod["metadata"].get("labels") or {}).get(ROLE, "")


def _deleted(pod: dict[str, Any]) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _stage(job_set: dict[str, Any], status: Mapping[str, Any]) -> str:
    """The first part of which not all Jobs have succeeded."""
    parts = {part["name"]: part for part in status.get("replicatedJobsStatus") or []}
    for job in job_set["spec"]["replicatedJobs"]:
        if int(parts.get(job["name"], {}).get("succeeded") or 0) < job["replicas"]:
            return job["name"]
    return job_set["spec"]["replicatedJobs"][-1]["name"]


def _wanted(job_set: dict[str, Any], stage: str) -> int:
    for job in job_set["spec"]["replicatedJobs"]:
        if job["name"] == stage:
            return job["replicas"] * job["template"]["spec"]["parallelism"]
    return 0


def _queued(workloads: Sequence[dict[str, Any]]) -> list[str]:
    """Why Kueue took it out again, and why it has not admitted it.

    Where it has its quota, it may wait for a check: for machines that are asked for at its turn.
    """
    conditions = [
        condition
        for each in workloads
        for condition in (each.get("status") or {}).get("conditions") or []
    ]
    # Behind the first ";" come the names of queues that lend each other.
    taken = [
        f"its queue took it out again: {each.get('message', '').partition(';')[0]}"
        for each in conditions
        if each["type"] == "Evicted" and each["status"] == "True"
    ]
    waits = [
        f"it waits in its queue: {each['message']}"
        for each in conditions
        if each["type"] == "QuotaReserved" and each["status"] != "True" and each.get("message")
    ]
    checks = [
        f"it has its quota, and waits for {check['name']}: {check.get('message') or check['state']}"
        for each in workloads
        for check in (each.get("status") or {}).get("admissionChecks") or []
        if check["state"] != "Ready"
    ]
    return [*taken, *(waits or checks or ["it waits in its queue"])]


def pending(pods: Sequence[dict[str, Any]], events: Sequence[dict[str, Any]] = ()) -> list[str]:
    """Why pods don't run yet, in the scheduler's words and the node's; each reason once."""
    found: dict[str, int] = {}
    for pod in pods:
        reasons = [_unscheduled(pod), *_held(pod)]
        if not any(reasons) and pod["status"].get("phase") == "Pending":
            said = told.of_pod(events, pod["metadata"]["name"])
            reasons = [f"its machine cannot start it: {said}" if said else ""]
        for text in filter(None, reasons):
            found[text] = found.get(text, 0) + 1
    return [f"{count} pods: {text}" if count > 1 else text for text, count in found.items()]


def unscheduled(pods: Sequence[dict[str, Any]]) -> bool:
    """Whether the scheduler has no machine for one of them."""
    return any(not _deleted(pod) and _unscheduled(pod) for pod in pods)


def _unscheduled(pod: dict[str, Any]) -> str:
    for condition in pod["status"].get("conditions") or []:
        if condition.get("reason") == "Unschedulable" and condition["status"] != "True":
            return f"no machine for it yet: {condition.get('message', '')}"
    return ""


def _held(pod: dict[str, Any]) -> Iterator[str]:
    """Why containers of a pod that has its machine don't start."""
    for each in pod["status"].get("containerStatuses") or []:
        waiting = (each.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        said = waiting.get("message", reason)
        if reason in _IMAGE:
            yield (
                f"the image {each.get('image', '')} cannot be pulled: {said}; is it pushed, and may"
                " the nodes read it?"
            )
        elif reason and reason not in _STARTS:
            yield f"its machine cannot start it: {said}"


def _failures(pods: Sequence[dict[str, Any]]) -> list[str]:
    """How pods ended that failed: the cause first, those that only lost another after it."""
    ends = []
    for pod in pods:
        for each in pod["status"].get("containerStatuses") or []:
            end = (each.get("state") or {}).get("terminated") or {}
            code = end.get("exitCode", 0)
            if not code:
                continue
            said = error(end.get("message", ""))
            meaning = exit_codes.ending(code).meaning
            disrupted = [
                condition.get("message", condition.get("reason", ""))
                for condition in pod["status"].get("conditions") or []
                if condition["type"] == "DisruptionTarget" and condition["status"] == "True"
            ]
            if disrupted:
                meaning = f"taken away: {disrupted[0]}"
            line = f"{pod['metadata']['name']} ended with {code} ({meaning})"
            ends.append((code == exit_codes.LOST, line + (f": {said}" if said else "")))
    return [line for _, line in sorted(ends)]


def error(text: str) -> str:
    """Our own error in what a process wrote last; otherwise its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ours = [line for line in lines if "podway: error: " in line]
    if ours:
        return re.sub(r".*podway: error: ", "", ours[-1])
    return lines[-1] if lines else ""
