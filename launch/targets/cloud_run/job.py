"""A job as `gcloud run jobs replace` takes it: one machine, one verb on a frozen experiment.

The frozen experiment lies in the workdir, which the job sees as a folder.
"""

import dataclasses
import re
from typing import Any

from podway.framework import codec
from podway.framework.config import Experiment, Rdatasets
from podway.launch.targets import names, packages
from podway.launch.targets.cloud_run.target import CloudRunJob
from podway.launch.targets.frozen import FILE, Frozen

HOME = "/podway/bucket"
"""Where the workdir's bucket is mounted."""
NO_IMAGE = "image-missing.invalid/podway-export@sha256:" + 64 * "0"
"""Stands in a dry run for an image that was not given."""
_NAME = 56
"""Characters of a job's name, of 63: those of its executions have six more."""
_WORKDIR = re.compile(r"gs://([^/]+)/?(.*)")
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://")


@dataclasses.dataclass(frozen=True)
class Job:
    """What is run.

    Attributes:
      experiment: the config.
      frozen: it and the user's sources, as files.
      target: the machine.
      workdir: where datasets, runs and models lie, gs://….
      verb: "run" or "predict".
    """

    experiment: Experiment
    frozen: Frozen
    target: CloudRunJob
    workdir: str
    verb: str = "run"

    @property
    def hash(self) -> str:
        """Of what is run, and where."""
        return codec.content_hash([self.frozen.hash, self.workdir, self.verb])

    @property
    def name(self) -> str:
        """Of the job: the same config on the same workdir is the same job."""
        return f"{names.legal(f'{self.experiment.name}-{self.verb}', _NAME - 7)}-{self.hash[:6]}"

    @property
    def folder(self) -> str:
        """Of the frozen experiment, in the workdir."""
        return f"launches/{self.experiment.name}-{self.frozen.hash[:8]}"

    def problems(self) -> list[str]:
        """What must be mended before anything is made, a sentence each."""
        found = []
        for name in ("project", "image"):
            if not getattr(self.target, name):
                found.append(f"target.{name} is missing: give it")
        if not _WORKDIR.fullmatch(self.workdir.rstrip("/")):
            found.append(
                f"--workdir is {self.workdir!r}; a job of Cloud Run keeps nothing: give"
                " gs://BUCKET/FOLDER"
            )
        for data in (self.experiment.data, *(each.data for each in self.experiment.mixture)):
            if not isinstance(data.format, Rdatasets) and not _REMOTE.match(data.path):
                found.append(
                    f"data.path of {data.name!r} is {data.path!r}, which Cloud Run does not see;"
                    " copy it to gs://, and name it there"
                )
        return found

    def notes(self) -> list[str]:
        """What may go wrong, and cannot be seen from here."""
        return packages.notes(self.experiment)


def job(wanted: Job) -> dict[str, Any]:
    """The job."""
    target = wanted.target
    found = _WORKDIR.fullmatch(wanted.workdir.rstrip("/"))
    bucket, path = (found[1], found[2]) if found else ("", "")
    home = "/".join(filter(None, (HOME, path)))
    labels = {"podway-experiment": names.legal(wanted.experiment.name), "managed-by": "podway"}
    account = {"serviceAccountName": target.service_account} if target.service_account else {}
    task: dict[str, Any] = {
        "maxRetries": target.retries,
        "timeoutSeconds": round(3600 * target.hours),
        **account,
        "containers": [
            {
                "name": "podway",
                "image": target.image or NO_IMAGE,
                "command": ["podway"],
                "args": [*_arguments(wanted, home), "--workdir", wanted.workdir],
                "resources": {"limits": {"cpu": str(target.cpu), "memory": target.memory}},
                "volumeMounts": [{"name": "workdir", "mountPath": HOME}],
            }
        ],
        "volumes": [
            {
                "name": "workdir",
                "csi": {
                    "driver": "gcsfuse.run.googleapis.com",
                    "readOnly": wanted.verb != "predict",
                    "volumeAttributes": {"bucketName": bucket},
                },
            }
        ],
    }
    return {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {
            "name": wanted.name,
            "labels": {"cloud.googleapis.com/location": target.region, **labels},
        },
        "spec": {
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {"run.googleapis.com/execution-environment": "gen2"},
                },
                "spec": {"taskCount": 1, "template": {"spec": task}},
            }
        },
    }


def _arguments(wanted: Job, home: str) -> list[str]:
    """The verb, and what it acts on. Lists lie where the next ones take their place."""
    if wanted.verb == "predict":
        name = wanted.experiment.name
        return ["predict", name, "--output", f"{home}/predictions/{name}.parquet"]
    return [wanted.verb, f"{home}/{wanted.folder}/{FILE}"]
