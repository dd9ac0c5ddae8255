"""Training by the clock: a CronJob whose pod does a cycle of `podway loop`.

Where the experiment needs accelerators, the pod hands the training to a JobSet that was rendered
and checked when the clock was set up, waits for its end, and goes on with evaluation, export, gate
and rollout. It may do little more in the cluster than create JobSets. An experiment for one CPU
machine needs none: there the pod does all of it, with no rights at all.
"""

import json
from typing import Any

from podway.framework.error import check
from podway.launch.targets import names
from podway.launch.targets.kubernetes import training
from podway.launch.targets.kubernetes.launch import OWN, Launch
from podway.launch.targets.kubernetes.schedule import Schedule

FILE = "job_set.json"
HOME = "/podway/launch"
"""Where it lies in the cycle's container."""
_NAME = 31
"""Characters of a CronJob's name: its Jobs' have nine more, and name the launches."""
_ROOM = 64 << 10
"""Bytes of a ConfigMap that names and labels take."""


def objects(launch: Launch, schedule: Schedule) -> list[dict[str, Any]]:
    """All objects, in the order in which they are applied."""
    found = [training.namespace(launch), training.service_account(launch)]
    found.append(training.config_map(launch))
    if is_alone(launch):
        cycle = training.single(launch, "export", "loop", None, "--once")
        return [*found, _cron_job(launch, schedule, cycle)]
    return [
        *found,
        _role(launch),
        _binding(launch),
        _manifest(launch),
        _cron_job(launch, schedule, _cycle(launch)),
    ]


def is_alone(launch: Launch) -> bool:
    """Whether one pod without accelerators does all of it."""
    return not launch.pool.resource and launch.pool.hosts * launch.target.slices == 1


def problems(launch: Launch) -> list[str]:
    """What must be mended before anything is applied, a sentence each."""
    unused = ("target.images.data ", "target.images.train ")[: 1 + is_alone(launch)]
    return [each for each in launch.problems() if not each.startswith(unused)]


def name(launch: Launch) -> str:
    """Of the CronJob."""
    return names.legal(launch.given_name or launch.experiment.name, _NAME)


def _metadata(launch: Launch, own: str) -> dict[str, Any]:
    labels = {key: value for key, value in launch.labels.items() if key != f"{OWN}/launch"}
    return {"name": own, "namespace": launch.target.namespace, "labels": labels}


def _role_name(launch: Launch) -> str:
    return f"{name(launch)}-cycle"


def _role(launch: Launch) -> dict[str, Any]:
    """Create JobSets, and read what becomes of them; nothing can be changed or deleted."""
    rules = [
        {"apiGroups": ["jobset.x-k8s.io"], "resources": ["jobsets"], "verbs": ["create", "get"]},
        {"apiGroups": [""], "resources": ["pods", "events"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    ]
    if launch.target.queue:
        group = training.QUEUE.partition("/")[0]
        rules.append({"apiGroups": [group], "resources": ["workloads"], "verbs": ["list"]})
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": _metadata(launch, _role_name(launch)),
        "rules": rules,
    }


def _binding(launch: Launch) -> dict[str, Any]:
    """For the account of all pods, of which the cycle's alone gets a token."""
    own, account = _role_name(launch), launch.target.service_account
    subject = {"kind": "ServiceAccount", "name": account, "namespace": launch.target.namespace}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": _metadata(launch, own),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": own},
        "subjects": [subject],
    }


def _manifest_name(launch: Launch) -> str:
    return f"{name(launch)}-{launch.hash[:8]}-job-set"


def _manifest(launch: Launch) -> dict[str, Any]:
    """The JobSet that is created."""
    text = json.dumps(training.alone(launch), indent=1)
    check(len(text) < (1 << 20) - _ROOM, "the JobSet is too large for a ConfigMap")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(launch, _manifest_name(launch)),
        "data": {FILE: text},
    }


def _cycle(launch: Launch) -> dict[str, Any]:
    """The Job of a cycle, which waits for the JobSet, so that a second one does not begin.

    A pod that is taken away begins again with the step it was at, and finds the JobSet by its name.
    """
    file = f"{HOME}/{FILE}"
    options = ("--once", "--job-set", file, "--launch-name", "$(JOB_NAME)")
    job = training.single(launch, "export", "loop", None, *options)
    spec = job["template"]["spec"]
    (container,) = spec["containers"]
    path = "metadata.labels['batch.kubernetes.io/job-name']"
    container["env"] += [
        {"name": "JOB_NAME", "valueFrom": {"fieldRef": {"fieldPath": path}}},
        {"name": "HOME", "value": "/tmp"},  # where the client keeps what the cluster can do
    ]
    container["volumeMounts"].append({"name": "launch", "mountPath": HOME, "readOnly": True})
    spec["volumes"].append({"name": "launch", "configMap": {"name": _manifest_name(launch)}})
    spec["automountServiceAccountToken"] = True
    return job


def _cron_job(launch: Launch, schedule: Schedule, job: dict[str, Any]) -> dict[str, Any]:
    own = _metadata(launch, name(launch))
    own["annotations"] = dict(launch.annotations)
    template: dict[str, Any] = {"spec": job}
    if launch.target.queue and is_alone(launch):  # others create a JobSet, which is what is queued
        template["metadata"] = {"labels": {training.QUEUE: launch.target.queue}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": own,
        "spec": {
            "schedule": schedule.schedule,
            "timeZone": schedule.time_zone,
            # Two trainings of one experiment would write the same artefacts.
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": schedule.deadline_seconds,
            "successfulJobsHistoryLimit": schedule.history,
            "failedJobsHistoryLimit": schedule.history,
            "jobTemplate": template,
        },
    }
