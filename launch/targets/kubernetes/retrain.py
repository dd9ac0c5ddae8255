"""Training by the clock: a CronJob that launches the experiment anew.

What it launches is the JobSet that was rendered and checked when it was set up, under a new name
each time: the account in the cluster may then do little more than create JobSets, and needs no
JAX. An experiment for one CPU machine needs no JobSet either: there the CronJob's own pod does all
of it, with no rights at all, as a cycle of `podway loop`.
"""

import json
from typing import Any

from podway.framework import exit_codes
from podway.framework.error import check
from podway.launch.targets import names
from podway.launch.targets.kubernetes import pods, training
from podway.launch.targets.kubernetes.launch import OWN, Launch
from podway.launch.targets.kubernetes.schedule import Schedule

FILE = "job_set.json"
HOME = "/podway/launch"
"""Where it lies in the launcher's container."""
_NAME = 31
"""Characters of a CronJob's name: its Jobs' have nine more, and name the launches."""
_NO_IMAGE = f"{pods.NO_IMAGE}podway-launcher@sha256:{64 * '0'}"
"""Stands in a dry run for an image that was not given."""
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
        _account(launch),
        _role(launch),
        _binding(launch),
        _manifest(launch),
        _cron_job(launch, schedule, _launcher(launch, schedule)),
    ]


def is_alone(launch: Launch) -> bool:
    """Whether one pod without accelerators does all of it."""
    return not launch.pool.resource and launch.pool.hosts * launch.target.slices == 1


def problems(launch: Launch, schedule: Schedule) -> list[str]:
    """What must be mended before anything is applied, a sentence each."""
    if is_alone(launch):  # one image does all of it
        unused = ("target.images.train ", "target.images.data ")
        return [each for each in launch.problems() if not each.startswith(unused)]
    if schedule.launcher:
        return launch.problems()
    missing = "schedule.launcher is missing: give the image launcher as NAME@sha256:DIGEST"
    return [*launch.problems(), missing]


def name(launch: Launch) -> str:
    """Of the CronJob."""
    return names.legal(launch.given_name or launch.experiment.name, _NAME)


def renamed(job_set: dict[str, Any], new: str, submitted: int) -> dict[str, Any]:
    """A JobSet under another name, as launched now.

    Args:
      job_set: as it was rendered.
      new: its name.
      submitted: seconds since 1970, for the run's account of time.
    """
    found = json.loads(json.dumps(job_set))
    found["metadata"]["name"] = new
    found["metadata"]["labels"][f"{OWN}/launch"] = new
    found["metadata"]["annotations"][pods.SUBMITTED] = str(submitted)
    for job in found["spec"]["replicatedJobs"]:
        template = job["template"]["spec"]["template"]
        template["metadata"]["labels"][f"{OWN}/launch"] = new
        for container in template["spec"]["containers"]:
            container["env"].append({"name": "PODWAY_SUBMITTED", "value": str(submitted)})
    return found


def _metadata(launch: Launch, own: str) -> dict[str, Any]:
    labels = {key: value for key, value in launch.labels.items() if key != f"{OWN}/launch"}
    return {"name": own, "namespace": launch.target.namespace, "labels": labels}


def _account_name(launch: Launch) -> str:
    return f"{name(launch)}-launcher"


def _account(launch: Launch) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": _metadata(launch, _account_name(launch)),
    }


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
        "metadata": _metadata(launch, _account_name(launch)),
        "rules": rules,
    }


def _binding(launch: Launch) -> dict[str, Any]:
    own = _account_name(launch)
    subject = {"kind": "ServiceAccount", "name": own, "namespace": launch.target.namespace}
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
    text = json.dumps(training.job_set(launch), indent=1)
    check(len(text) < (1 << 20) - _ROOM, "the JobSet is too large for a ConfigMap")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(launch, _manifest_name(launch)),
        "data": {FILE: text},
    }


def _launcher(launch: Launch, schedule: Schedule) -> dict[str, Any]:
    """The Job that creates a launch and waits for its end, so that a second one does not begin.

    A launcher that is taken away begins again, and finds the launch by its name.
    """
    path = "metadata.labels['batch.kubernetes.io/job-name']"
    container = {
        "name": "launcher",
        "image": schedule.launcher or _NO_IMAGE,
        "command": ["podway"],
        "args": ["launch", "manifest", "--file", f"{HOME}/{FILE}", "--launch-name", "$(JOB_NAME)"],
        "env": [
            {"name": "JOB_NAME", "valueFrom": {"fieldRef": {"fieldPath": path}}},
            {"name": "HOME", "value": "/tmp"},  # where the client keeps what the cluster can do
        ],
        "resources": {
            "requests": {"cpu": "100m", "memory": "512Mi"},
            "limits": {"memory": "512Mi"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "launch", "mountPath": HOME, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    spec = {
        "serviceAccountName": _account_name(launch),
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001},
        "containers": [container],
        "volumes": [
            {"name": "launch", "configMap": {"name": _manifest_name(launch)}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    hopeless = {
        "containerName": "launcher",
        "operator": "In",
        "values": sorted(exit_codes.HOPELESS),
    }
    disrupted = [{"type": "DisruptionTarget", "status": "True"}]
    return {
        "backoffLimit": 6,
        "podFailurePolicy": {
            "rules": [
                {"action": "FailJob", "onExitCodes": hopeless},
                {"action": "Ignore", "onPodConditions": disrupted},
            ]
        },
        "template": {"metadata": {"labels": _metadata(launch, "")["labels"]}, "spec": spec},
    }


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
