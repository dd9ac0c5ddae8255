"""`podway launch manifest`: a launch that was rendered before, made where this runs."""

import dataclasses
import json
import pathlib
import time
from typing import Any

from podway.framework.error import ConfigError, check
from podway.launch.targets import names
from podway.launch.verbs.launch.jobs import Place
from podway.launch.verbs.verb import Verb

_NAME = 40


@dataclasses.dataclass(frozen=True)
class LaunchManifest(Place):
    """A JobSet as JSON, and what it is called now."""

    file: str = ""
    """The JobSet, as `podway launch retrain` renders it."""
    launch_name: str = ""
    """Of this launch. One of this name that is there already is followed, and not made anew."""


def launch(options: LaunchManifest) -> None:
    """Creates the launch, and follows it to its end."""
    check(bool(options.file), "--file is missing; give the JSON of a JobSet")
    check(
        names.is_legal(options.launch_name, _NAME),
        f"--launch-name is {options.launch_name!r}; give small letters, digits and '-', at most"
        f" {_NAME}",
    )
    from podway.launch.targets.error import FailedError
    from podway.launch.targets.kubernetes import follow, retrain
    from podway.launch.targets.kubernetes.cluster import Cluster

    job_set = retrain.renamed(_read(options.file), options.launch_name, int(time.time()))
    cluster = Cluster(job_set["metadata"].get("namespace", options.namespace), options.context)
    made = cluster.create(job_set)
    print(f"{'made' if made else 'there is already'} JobSet {options.launch_name}", flush=True)
    end = follow.until_over(cluster, options.launch_name)
    if end.phase == "failed":
        raise FailedError(f"{options.launch_name} has failed: {'; '.join(end.lines)}")
    if end.phase == "stopped":  # no success, and nothing that the CronJob should try again
        raise FailedError(f"{options.launch_name} was stopped")


def _read(file: str) -> dict[str, Any]:
    try:
        found = json.loads(pathlib.Path(file).read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"--file {file} is no JSON of a JobSet: {error}") from error
    if not isinstance(found, dict) or found.get("kind") != "JobSet":
        raise ConfigError(f"--file {file} holds no JobSet; `podway launch retrain` renders one")
    return found


VERB = Verb(
    "create a launch that was rendered before (what a CronJob does)",
    LaunchManifest,
    launch,
    of="",
    example="podway launch manifest --file job_set.json --launch-name sasrec-29400000",
)
