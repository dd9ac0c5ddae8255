"""Training that a pod hands to accelerators: a JobSet that was rendered before, made where it runs.

It was rendered and checked when the clock was set up. What only a cycle knows (the dataset, the
first parameters) comes as options of its command, so that the pod needs no right but to make it.
"""

import json
import pathlib
import time
from collections.abc import Sequence
from typing import Any

from podway.framework.error import ConfigError, check
from podway.launch.targets import names
from podway.launch.targets.error import FailedError
from podway.launch.targets.kubernetes import cluster, follow, pods
from podway.launch.targets.kubernetes.launch import OWN

_NAME = 40


def read(file: str, name: str) -> dict[str, Any]:
    """The JobSet of a file. Raises ConfigError: it holds none, or none can have that name."""
    check(
        names.is_legal(name, _NAME),
        f"--launch-name is {name!r}; give small letters, digits and '-', at most {_NAME}",
    )
    try:
        found = json.loads(pathlib.Path(file).read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"--job-set {file} is no JSON of a JobSet: {error}") from error
    if not isinstance(found, dict) or found.get("kind") != "JobSet":
        raise ConfigError(f"--job-set {file} holds no JobSet; `podway launch retrain` renders one")
    return found


def train(job_set: dict[str, Any], name: str, overrides: Sequence[str]) -> None:
    """Has a JobSet train, and waits for its end; one of that name that is there already is it.

    Raises FailedError: it failed, or somebody stopped it. The next launch goes on from its save.
    """
    place = cluster.Cluster(job_set["metadata"]["namespace"])
    made = place.create(renamed(job_set, name, int(time.time()), overrides))
    print(f"{'made' if made else 'there is already'} JobSet {name}", flush=True)
    end = follow.until_over(place, name)
    if end.phase == "failed":
        raise FailedError(f"{name} has failed: {'; '.join(end.lines)}")
    if end.phase == "stopped":
        raise FailedError(f"{name} was stopped")


def renamed(
    job_set: dict[str, Any], new: str, submitted: int, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """A JobSet under another name, as launched now.

    Args:
      job_set: as it was rendered.
      new: its name.
      submitted: seconds since 1970, for the run's account of time.
      overrides: further options of its command.
    """
    found = json.loads(json.dumps(job_set))
    found["metadata"]["name"] = new
    found["metadata"]["labels"][f"{OWN}/launch"] = new
    found["metadata"]["annotations"][pods.SUBMITTED] = str(submitted)
    for job in found["spec"]["replicatedJobs"]:
        template = job["template"]["spec"]["template"]
        template["metadata"]["labels"][f"{OWN}/launch"] = new
        for container in template["spec"]["containers"]:
            container["args"] += overrides
            container["env"].append({"name": "PODWAY_SUBMITTED", "value": str(submitted)})
    return found
