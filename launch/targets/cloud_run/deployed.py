"""One deployment of a model on Cloud Run: its versions, and the names and sizes that follow."""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping

from podway.launch.targets import names, server
from podway.launch.targets.cloud_run import target as limits
from podway.launch.targets.cloud_run.target import CloudRun
from podway.launch.targets.published import GIB, Published

NO_IMAGE = "image-missing.invalid/server@sha256:" + 64 * "0"
"""Stands in a dry run for an image that was not given."""
HOME = "/tmp/podway"
"""Where an instance writes the server's files when it starts: it has no ConfigMaps."""
BUCKET_PATH = "/podway/bucket"
"""Where the bucket is mounted."""
_NAME = 45
"""Characters of a service's name, of 49 that Cloud Run has: tags of revisions stand before it."""
_WORKDIR = re.compile(r"gs://([^/]+)/?(.*)")


@dataclasses.dataclass(frozen=True)
class Deployed:
    """What is deployed.

    Attributes:
      tracks: the version on each track, "stable" and perhaps "canary".
      target: the place, and how the model is served there.
      workdir: where the models lie, gs://….
    """

    tracks: Mapping[str, Published]
    target: CloudRun
    workdir: str

    @property
    def model(self) -> str:
        """Its name, as requests have it."""
        return self.tracks["stable"].name

    @property
    def name(self) -> str:
        """Of the service."""
        return names.legal(self.model, _NAME)

    @property
    def bucket(self) -> str:
        """That of the workdir; "": it is in none."""
        found = _WORKDIR.fullmatch(self.workdir.rstrip("/"))
        return found[1] if found else ""

    def run(self, track: str) -> server.Run:
        """The server of a track."""
        found = _WORKDIR.fullmatch(self.workdir.rstrip("/"))
        path = found[2] if found else self.workdir.strip("/")
        folder = "/".join(filter(None, (BUCKET_PATH, path, "models", self.model)))
        return server.Run(
            self.target.server,
            self.tracks[track],
            folder,
            threads=self.target.cpu,
            gpu=bool(self.target.gpu),
            home=HOME,
        )

    def script(self, track: str) -> str:
        """What an instance runs: it writes the server's files, and becomes the server."""
        lines = ["set -e", f"mkdir -p {HOME}"]
        for name in self.run(track).files():
            lines.append(f'printf %s "${_variable(name)}" > {HOME}/{name}')
        return "; ".join([*lines, f"exec {' '.join(self.run(track).command())}"])

    def environment(self, track: str) -> Mapping[str, str]:
        """Environment variables: the server's files."""
        return {_variable(name): text for name, text in self.run(track).files().items()}

    def memory(self, track: str) -> str:
        """Of an instance of a track, as a quantity."""
        if self.target.memory:
            return self.target.memory
        least, _ = limits.MEMORY[self.target.cpu]
        least = max(least, limits.GPU_GIB if self.target.gpu else 0)
        halves = max(math.ceil(2 * self.tracks[track].memory / GIB), math.ceil(2 * least))
        return f"{512 * halves}Mi"

    def concurrency(self, track: str) -> int:
        """Requests at once: as many as run as one batch, and as many that wait for the next one."""
        if self.target.concurrency:
            return self.target.concurrency
        if not self.run(track).batches:
            return 4 * self.target.cpu
        return min(limits.CONCURRENCY, 2 * self.tracks[track].batch_buckets[-1])

    def revision(self, track: str) -> str:
        """Name of the revision: its content is in it, so that the same is the same revision."""
        said = [self.script(track), dict(self.environment(track)), self.memory(track)]
        target = dataclasses.replace(self.target, canary_percent=0)
        said += [self.concurrency(track), self.bucket, dataclasses.asdict(target)]
        digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:6]
        return f"{self.name}-v{self.tracks[track].version}-{digest}"

    @property
    def traffic(self) -> Mapping[str, int]:
        """Track → share of the requests, in percent."""
        canary = self.target.canary_percent if "canary" in self.tracks else 0
        return {track: canary if track == "canary" else 100 - canary for track in self.tracks}

    def problems(self) -> list[str]:
        """What must be mended before anything is deployed, a sentence each."""
        found = []
        for name in ("project", "image"):
            if not getattr(self.target, name):
                found.append(f"target.{name} is missing: give it")
        if not self.bucket:
            found.append(
                f"--workdir is {self.workdir!r}; Cloud Run reads models from a bucket: give"
                " gs://BUCKET/FOLDER"
            )
        _, most = limits.MEMORY[self.target.cpu]
        for track in self.tracks:
            wanted = limits.gib(self.memory(track))
            if wanted > most:
                better = limits.cores_for(wanted)
                remedy = (
                    f"give target.cpu {better}"
                    if limits.MEMORY[better][1] >= wanted
                    else "no instance of Cloud Run has that much: `podway deploy kubernetes`"
                )
                found.append(
                    f"version {self.tracks[track].version} needs {wanted:g} GiB of memory, and"
                    f" target.cpu {self.target.cpu} has at most {most:g}: {remedy}"
                )
        return found


def _variable(file: str) -> str:
    """Name of the environment variable that holds a file."""
    return f"PODWAY_{file.replace('.', '_').upper()}"
