"""What happened to a launch, in plain words, from the events that a cluster keeps for an hour."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

from podway.framework import exit_codes

_RESTARTS = {
    "RestartJobSetAndIgnoreMaxRestartsFailurePolicyAction": "which uses up no restart",
    "RestartJobSetFailurePolicyAction": "which uses up a restart",
}
"""Reason of JobSet's event → what it means for target.max_restarts."""
_ENDED = re.compile(r"Container \S+ for pod \S+?/(\S+) failed with exit code (\d+) ")
_TAKEN = re.compile(r"Pod \S+?/(\S+) has condition DisruptionTarget ")
REFUSED = "FailJobSetFailurePolicyAction"
"""Reason of a JobSet that has failed by our rule: a process said what the user must mend."""
_FINISHED = ("PodFailurePolicy", "BackoffLimitExceeded", REFUSED)
"""Reasons of what has ended a Job or the JobSet: history, which holds nothing up."""
_TRANSIENT = "expected, transient error"
"""JobSet's words for a pod of an exclusive slice that waits for the first one's place."""


@dataclasses.dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
      key: of this event alone; one that comes again has another.
      text: what a user reads.
    """

    key: str
    text: str


def of(job_set: dict[str, Any], events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events of a launch, in their order, without those of an earlier one of its name."""
    about, found = job_set["metadata"], []
    parts = "|".join(re.escape(job["name"]) for job in job_set["spec"]["replicatedJobs"])
    job = rf"{re.escape(about['name'])}-(?:{parts})-\d+"
    names = {"Job": re.compile(job), "Pod": re.compile(rf"{job}-\d+-[a-z0-9]+")}
    for each in events:
        of_whom = each.get("involvedObject") or {}
        if of_whom.get("kind") == "JobSet":
            mine = of_whom.get("uid") == about.get("uid") and of_whom.get("name") == about["name"]
        else:
            pattern = names.get(of_whom.get("kind", ""))
            mine = pattern is not None and bool(pattern.fullmatch(of_whom.get("name", "")))
        if mine and when(each) >= str(about.get("creationTimestamp") or ""):
            found.append(each)
    return sorted(found, key=when)


def when(event: dict[str, Any]) -> str:
    """When an event came last, as text that can be compared; "": nobody says."""
    metadata = event.get("metadata") or {}
    times = (event.get("lastTimestamp"), event.get("eventTime"), metadata.get("creationTimestamp"))
    return str(next(filter(None, times), ""))


def happened(events: Sequence[dict[str, Any]]) -> tuple[Event, ...]:
    """How processes ended, and what that led to; `events`: of the launch, in their order."""
    found = []
    for each in events:
        if text := _told(each):
            uid = (each.get("metadata") or {}).get("uid", text)
            found.append(Event(f"{uid}/{each.get('count') or 1}", text))
    return tuple(found)


def _told(event: dict[str, Any]) -> str:
    reason, said = event.get("reason", ""), event.get("message", "")
    if reason in _RESTARTS:
        return f"all processes start again from the last save, {_RESTARTS[reason]}"
    if reason != "PodFailurePolicy":
        return ""
    if found := _ENDED.search(said):
        code = int(found[2])
        return f"{found[1]} ended with {code} ({exit_codes.ending(code).meaning})"
    if found := _TAKEN.search(said):
        return f"{found[1]} was taken away with its machine"
    return ""


def hindrances(events: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What the controllers of Jobs could not do since the last restart; `events`: in their order.

    What is over by itself, and what has ended a Job before, is left out.
    """
    found: dict[str, str] = {}
    for each in events:
        about, said = each.get("involvedObject") or {}, each.get("message", "")
        if each.get("reason") in _RESTARTS:
            found = {}
        elif (
            each.get("type") == "Warning"
            and about.get("kind") in ("JobSet", "Job")
            and each.get("reason") not in _FINISHED
            and _TRANSIENT not in said
        ):
            found[said] = f"{about['kind']} {about['name']}"
    for said, who in found.items():
        yield f"{who}: {said}"


def of_pod(events: Sequence[dict[str, Any]], pod: str) -> str:
    """The last thing that a node warned of about a pod; "": nothing."""
    found = ""
    for each in events:
        about = each.get("involvedObject") or {}
        mine = about.get("kind") == "Pod" and about.get("name") == pod
        if mine and each.get("type") == "Warning" and each.get("reason") != "FailedScheduling":
            found = each.get("message", "")
    return found
