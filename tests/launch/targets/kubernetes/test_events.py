"""What a launch's events say. The messages are those of Kubernetes 1.35 and JobSet 0.11."""

import pytest

from podway.launch.targets.kubernetes import events
from tests.launch.targets.kubernetes.conftest import an_event

SET = {
    "metadata": {"name": "long", "uid": "u1", "creationTimestamp": "2026-01-01T00:00:05Z"},
    "spec": {"replicatedJobs": [{"name": "data"}, {"name": "train"}]},
}
FREE = "RestartJobSetAndIgnoreMaxRestartsFailurePolicyAction"


@pytest.mark.parametrize(
    ("event", "mine"),
    [
        (an_event("JobSet", "long", FREE, of="u1"), True),
        (an_event("JobSet", "long", FREE, of="u0"), False),
        (an_event("Job", "long-train-0", "PodFailurePolicy"), True),
        (an_event("Job", "long-train-0", "Old", lastTimestamp="2026-01-01T00:00:04Z"), False),
        (an_event("Job", "long-train-12", "PodFailurePolicy"), True),
        (an_event("Job", "long-train-train-0", "PodFailurePolicy"), False),
        (an_event("Job", "longer-train-0", "PodFailurePolicy"), False),
        (an_event("Pod", "long-train-0-1-x7k2q", "FailedMount"), True),
        (an_event("Pod", "long-run-train-0-1-x7k2q", "FailedMount"), False),
        (an_event("Node", "long", "Down"), False),
    ],
)
def test_those_of_other_launches_are_left_out(event, mine):
    assert events.of(SET, [event]) == ([event] if mine else [])


@pytest.mark.parametrize(
    ("reason", "message", "text"),
    [
        (
            "PodFailurePolicy",
            "Container train for pod podway/long-train-0-1-x7k2q failed with exit code 42 matching"
            " FailJob rule at index 1",
            "long-train-0-1-x7k2q ended with 42 (asked to end (SIGTERM): what is done is saved, the"
            " same command goes on from there)",
        ),
        (
            "PodFailurePolicy",
            "Pod podway/long-train-0-1-x7k2q has condition DisruptionTarget matching FailJob rule"
            " at index 2",
            "long-train-0-1-x7k2q was taken away with its machine",
        ),
        (FREE, "", "all processes start again from the last save, which uses up no restart"),
        (
            "RestartJobSetFailurePolicyAction",
            "applying RestartJobSet failure policy action (first failed job: long-train-0)",
            "all processes start again from the last save, which uses up a restart",
        ),
        ("SuccessfulCreate", "Created pod: long-train-0-1-x7k2q", None),
    ],
)
def test_what_happened_is_told_in_plain_words(reason, message, text):
    found = events.happened([an_event("Job", "long-train-0", reason, message)])
    assert [each.text for each in found] == ([text] if text else [])


def test_an_event_that_comes_again_is_another():
    found = [an_event("JobSet", "long", FREE, of="u1", count=count) for count in (1, 2)]
    first, second = events.happened(found)
    assert first.text == second.text
    assert first.key != second.key


def test_what_was_in_the_way_before_a_restart_is_not_any_more():
    refused = an_event("Job", "long-train-0", "FailedCreate", "no quota")
    restart = an_event("JobSet", "long", FREE, of="u1")
    assert list(events.hindrances([restart, refused])) == ["Job long-train-0: no quota"]
    assert list(events.hindrances([refused, restart])) == []
