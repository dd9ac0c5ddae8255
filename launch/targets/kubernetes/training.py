"""The objects of a training launch: namespace, account, frozen experiment, and one JobSet.

The JobSet has three parts, each begun when the one before is complete: `data` (one pod without
accelerators), `train` (a Job for each slice, a pod for each host), `export` (one pod: evaluation
and export). A restart begins with `data` again, which finds its dataset and ends at once.

What a failure leads to follows from the table of exit codes (framework/exit_codes.py).
"""

from typing import Any

from podway.framework import exit_codes
from podway.launch.targets.kubernetes import pods, pools
from podway.launch.targets.kubernetes.launch import Launch

API = "jobset.x-k8s.io/v1alpha2"
QUEUE = "kueue.x-k8s.io/queue-name"
EXCLUSIVE = "alpha.jobset.sigs.k8s.io/exclusive-topology"
"""Annotation of Jobs each of which has a domain of nodes for itself."""
_COORDINATOR = 6002
_RETRIES = 3
"""Of the data stage and of the export, by themselves."""


def objects(launch: Launch, submitted: int | None = None) -> list[dict[str, Any]]:
    """All objects, in the order in which they are applied."""
    return [
        namespace(launch),
        service_account(launch),
        config_map(launch),
        job_set(launch, submitted),
    ]


def namespace(launch: Launch) -> dict[str, Any]:
    """The namespace, which other launches share."""
    return pods.namespace(launch.target.namespace)


def service_account(launch: Launch) -> dict[str, Any]:
    """Whom the pods run as."""
    return pods.service_account(launch.target)


def config_map(launch: Launch) -> dict[str, Any]:
    """The frozen experiment and its sources."""
    files = {pods.key(path): content for path, content in launch.frozen.files.items()}
    return pods.config_map(_metadata(launch, pods.config_map_name(launch)), files)


def job_set(launch: Launch, submitted: int | None = None) -> dict[str, Any]:
    """Data, training, export; `submitted`: seconds since 1970, for the run's account of time."""
    target, pool = launch.target, launch.pool
    metadata = _metadata(launch, launch.name)
    metadata["annotations"] = dict(launch.annotations)
    if submitted is not None:
        metadata["annotations"][pods.SUBMITTED] = str(submitted)
    if target.queue:
        metadata["labels"] |= {QUEUE: target.queue}
    train = {
        "name": "train",
        "replicas": target.slices,
        "dependsOn": [{"name": "data", "status": "Complete"}],
        "template": {"spec": _training(launch, submitted)},
    }
    if pool.is_tpu and target.provider == "gke":
        train["template"]["metadata"] = {"annotations": {EXCLUSIVE: pools.POOL}}
    return {
        "apiVersion": API,
        "kind": "JobSet",
        "metadata": metadata,
        "spec": {
            "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
            "successPolicy": {"operator": "All"},
            "failurePolicy": {"maxRestarts": target.max_restarts, "rules": _rules()},
            "ttlSecondsAfterFinished": target.keep_days * 86_400,
            "replicatedJobs": [
                {
                    "name": "data",
                    "replicas": 1,
                    "template": {"spec": single(launch, "data", "data", submitted)},
                },
                train,
                {
                    "name": "export",
                    "replicas": 1,
                    "dependsOn": [{"name": "train", "status": "Complete"}],
                    "template": {"spec": single(launch, "export", "run", submitted)},
                },
            ],
        },
    }


def alone(launch: Launch) -> dict[str, Any]:
    """The training by itself, of a dataset that is there."""
    found = job_set(launch)
    (train,) = (job for job in found["spec"]["replicatedJobs"] if job["name"] == "train")
    del train["dependsOn"]
    found["spec"]["replicatedJobs"] = [train]
    return found


def submitted(job_set: dict[str, Any]) -> int | None:
    """When a launch was submitted (s since 1970), from its JobSet; None: it does not say."""
    said = (job_set["metadata"].get("annotations") or {}).get(pods.SUBMITTED, "")
    return int(said) if said.isdecimal() else None


def _metadata(launch: Launch, name: str) -> dict[str, Any]:
    return {"name": name, "namespace": launch.target.namespace, "labels": dict(launch.labels)}


def _rules() -> list[dict[str, Any]]:
    """What becomes of the JobSet when a Job fails; what no rule names restarts it, and counts.

    A Job that failed by a rule of its podFailurePolicy says which in its message.
    """
    reasons = ["PodFailurePolicy"]
    return [
        {
            "name": "preempted",
            "action": "RestartJobSetAndIgnoreMaxRestarts",
            "onJobFailureReasons": reasons,
            "onJobFailureMessagePatterns": [
                "DisruptionTarget",
                f"exit code {exit_codes.PREEMPTED} ",
            ],
        },
        {"name": "refused", "action": "FailJobSet", "onJobFailureReasons": reasons},
    ]


def _pod_rules(container: str) -> list[dict[str, Any]]:
    """Which ends of a pod end its Job at once, by which the JobSet is told why."""

    def ends(codes: tuple[int, ...]) -> dict[str, Any]:
        exits = {"containerName": container, "operator": "In", "values": sorted(codes)}
        return {"action": "FailJob", "onExitCodes": exits}

    return [
        ends(exit_codes.HOPELESS),
        ends((exit_codes.PREEMPTED,)),
        {
            "action": "FailJob",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        },
    ]


def _training(launch: Launch, submitted: int | None) -> dict[str, Any]:
    """The Job of one slice."""
    pool = launch.pool
    options, ports = _peers(launch)
    container: dict[str, Any] = {
        "name": "train",
        "image": pods.image(launch, "train"),
        **pods.command(launch, "train", *options),
        "resources": resources(launch, pool.resource, pool.count),
        **({"ports": ports} if ports else {}),
    }
    variables = _platform(launch)
    if not pool.is_tpu and pool.hosts > 1:
        variables += _own_names()
    if variables:
        container["env"] = variables
    template = pods.pod(
        launch,
        container,
        selector=dict(pool.selector),
        tolerations=pool.tolerations,
        submitted=submitted,
    )
    return {
        "parallelism": pool.hosts,
        "completions": pool.hosts,
        "completionMode": "Indexed",
        "backoffLimit": 0,
        "podFailurePolicy": {"rules": _pod_rules("train")},
        "template": template,
    }


def single(
    launch: Launch, name: str, verb: str, submitted: int | None, *options: str
) -> dict[str, Any]:
    """The Job of a stage that one pod without accelerators does."""
    container = {
        "name": name,
        "image": pods.image(launch, name),
        **pods.command(launch, verb, *options),
        "resources": resources(launch, "", 0),
    }
    template = pods.pod(launch, container, selector={}, tolerations=(), submitted=submitted)
    return {
        "parallelism": 1,
        "completions": 1,
        "completionMode": "Indexed",
        "backoffLimit": _RETRIES,
        "podFailurePolicy": {
            "rules": [
                _pod_rules(name)[0],
                # Neither a drained node nor what was saved uses up the retries.
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                },
            ]
        },
        "template": template,
    }


def resources(launch: Launch, resource: str, count: int) -> dict[str, Any]:
    """A pod with accelerators has its machine for itself."""
    if resource:
        return {"requests": {resource: str(count)}, "limits": {resource: str(count)}}
    wanted = launch.target.resources
    return {
        "requests": {"cpu": wanted.cpu, "memory": wanted.memory},
        "limits": {"memory": wanted.memory},
    }


def _peers(launch: Launch) -> tuple[list[str], list[dict[str, Any]]]:
    """How the processes find each other: the options that say so, and the ports.

    On TPUs GKE tells them (TPU_WORKER_ID and MEGASCALE_… in the environment).
    """
    pool = launch.pool
    if pool.hosts * launch.target.slices == 1:
        return [], []
    if pool.is_tpu:
        return ["--distributed"], [{"name": "coordinator", "containerPort": 8482}]
    first = "$(JOBSET_NAME)-$(REPLICATED_JOB_NAME)-0-0.$(JOBSET_NAME)"
    options = ["--coordinator", f"{first}:{_COORDINATOR}", "--num-processes", str(pool.hosts)]
    options += ["--process-id", "$(JOB_COMPLETION_INDEX)"]
    return options, [{"name": "coordinator", "containerPort": _COORDINATOR}]


def _platform(launch: Launch) -> list[dict[str, Any]]:
    """What training computes on, or ends: it would go on with the CPU of an expensive machine.

    A variable of the target comes before it.
    """
    name, platform = "JAX_PLATFORMS", launch.pool.platform
    if not platform or name in (pair.split("=", 1)[0] for pair in launch.target.environment):
        return []
    return [{"name": name, "value": f"{platform},cpu"}]


def _own_names() -> list[dict[str, Any]]:
    """Where a pod learns which of the JobSet's it is."""
    paths = {
        "JOBSET_NAME": "jobset.sigs.k8s.io/jobset-name",
        "REPLICATED_JOB_NAME": "jobset.sigs.k8s.io/replicatedjob-name",
        "JOB_COMPLETION_INDEX": "batch.kubernetes.io/job-completion-index",
    }
    return [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{path}']"}}}
        for name, path in paths.items()
    ]
