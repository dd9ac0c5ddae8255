import copy

import pytest

from podway.launch.targets.error import LaunchError
from podway.launch.targets.kubernetes.serving import rollout
from podway.launch.targets.kubernetes.serving.objects import objects
from tests.launch.targets.kubernetes.serving.conftest import deployed

NAME = "movielens-sasrec-stable"


def a_deployment(**status) -> dict:
    labels = {"podway.dev/version": "3"}
    metadata = {"name": NAME, "generation": 2, "labels": labels}
    whole = {
        "observedGeneration": 2,
        "replicas": 2,
        "updatedReplicas": 2,
        "availableReplicas": 2,
        **status,
    }
    return {"metadata": metadata, "spec": {"replicas": 2}, "status": whole}


def a_pod(number: int = 0, *, ready: bool = True, version: str = "3", **status) -> dict:
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {
        "metadata": {"name": f"{NAME}-{number}", "labels": {"podway.dev/version": version}},
        "status": {"phase": "Running", "conditions": conditions, **status},
    }


def test_ready_is_all_pods_of_the_new_version_and_none_of_the_old():
    pods = [a_pod(0), a_pod(1)]
    assert rollout.of(a_deployment(), pods).ready
    assert not rollout.of(a_deployment(observedGeneration=1), pods).ready
    assert not rollout.of(a_deployment(updatedReplicas=1), pods).ready
    assert not rollout.of(a_deployment(availableReplicas=1), pods).ready
    assert not rollout.of(a_deployment(replicas=3), pods).ready  # one of the old version still ends


def test_pods_of_the_old_version_are_not_counted():
    now = rollout.of(a_deployment(), [a_pod(0), a_pod(1, version="2")])
    assert (now.serving, now.wanted) == (1, 2)


def test_what_is_in_the_way():
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown"}}
    crash = {"terminated": {"exitCode": 1, "message": "…\npodway: error: no such file"}}
    starved = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    unscheduled = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient cpu.",
    }
    pods = [
        a_pod(0, ready=False, containerStatuses=[{"image": "x", "state": waiting}]),
        a_pod(1, ready=False, containerStatuses=[{"restartCount": 2, "lastState": crash}]),
        a_pod(2, ready=False, containerStatuses=[{"restartCount": 1, "lastState": starved}]),
        a_pod(3, ready=False, phase="Pending", conditions=[unscheduled]),
        a_pod(4, ready=False, containerStatuses=[{"restartCount": 0}]),
    ]
    said = "\n".join(rollout.of(a_deployment(availableReplicas=0), pods).lines)
    for part in (
        "manifest unknown",
        f"{NAME}-1 ended with 1, and is started again: no such file",
        "needs more memory than its limit; give target.memory",
        "3 Insufficient cpu",
        "read and warm up the model",
    ):
        assert part in said


def test_a_quota_that_is_used_up_is_said():
    refused = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: gpus"}
    assert rollout.of(a_deployment(conditions=[refused]), []).lines == ("exceeded quota: gpus",)


class FakeCluster:
    """What the official client would answer, look by look."""

    namespace = "podway-serving"

    def __init__(self, looks=(), objects=()):
        self.looks = list(looks)
        self.objects = list(objects)

    def get(self, version, kind, name):
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    def list(self, version, kind, labels=""):
        wanted = dict(pair.split("=") for pair in labels.split(","))
        return [
            each
            for each in self.objects
            if each["kind"] == kind and wanted.items() <= each["metadata"]["labels"].items()
        ]


def test_following_ends_when_all_tracks_serve():
    said = []
    looks = [a_deployment(updatedReplicas=0), a_deployment(updatedReplicas=0), a_deployment()]
    rollout.until_ready(FakeCluster(looks), deployed("serving"), say=said.append, interval=0)
    assert said[0] == f"{NAME}, version 3: 0 of 2 pods serve"


def test_following_ends_when_the_cluster_gives_up():
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    cluster = FakeCluster([a_deployment(availableReplicas=0, conditions=[late])])
    with pytest.raises(LaunchError, match=r"does not serve version 3.*went before"):
        rollout.until_ready(cluster, deployed("serving"), say=print, interval=0)


def test_a_deployment_that_somebody_deleted():
    with pytest.raises(LaunchError, match="somebody deleted it"):
        rollout.until_ready(FakeCluster([None]), deployed("serving"), say=print, interval=0)


def test_a_canary_that_is_none_any_more_is_taken_away():
    before = deployed("serving")
    made = copy.deepcopy(objects(before))
    after = type(before)({"stable": before.tracks["canary"]}, before.target, before.workdir)
    old_files = before.files_name("stable")
    replicas = {
        "kind": "ReplicaSet",
        "metadata": {"name": "x", "labels": before.labels("stable")},
        "spec": {
            "template": {"spec": {"volumes": [{"name": "f", "configMap": {"name": old_files}}]}}
        },
    }
    left = rollout.left(FakeCluster(objects=[*made, replicas]), after, objects(after))
    kinds = sorted(each["kind"] for each in left)
    assert kinds == [
        "ConfigMap",
        "Deployment",
        "GCPBackendPolicy",
        "HealthCheckPolicy",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "Service",
    ]
    assert all("canary" in each["metadata"]["name"] for each in left)
    assert [each["kind"] for each in left].index("Deployment") < len(left) - 2
    without = rollout.left(FakeCluster(objects=made), after, objects(after))
    assert old_files in [each["metadata"]["name"] for each in without]
