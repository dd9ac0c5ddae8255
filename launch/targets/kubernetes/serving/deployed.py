"""One deployment of a model: its versions by track, the target, and the names that follow."""

import dataclasses
import hashlib
import math
import re
from collections.abc import Mapping

from podway.launch.targets import names, server
from podway.launch.targets.kubernetes.launch import OWN
from podway.launch.targets.kubernetes.serving.config import Serving
from podway.launch.targets.kubernetes.target import Bucket
from podway.launch.targets.published import Published

_BUCKET_PATH = "/podway/bucket"
"""Where the bucket of a workdir gs://… is mounted."""
_REMOTE = re.compile(r"([a-z][a-z0-9+.-]*)://([^/]+)/?(.*)")
_NAME = 40
"""Characters of the model's name in names: those of pods have a track and two hashes more."""
TRACK = "track"
"""Name of our label, and of the metrics' label."""


@dataclasses.dataclass(frozen=True)
class Deployed:
    """What is deployed.

    Attributes:
      tracks: the version on each track, "stable" and perhaps "canary".
      target: the cluster.
      workdir: where the models lie, as the pods see it.
    """

    tracks: Mapping[str, Published]
    target: Serving
    workdir: str

    @property
    def model(self) -> str:
        """Its name, as requests have it."""
        return self.tracks["stable"].name

    @property
    def name(self) -> str:
        """Of what belongs to all tracks."""
        return names.legal(self.model, _NAME)

    def of_track(self, track: str) -> str:
        """Name of what belongs to a track."""
        return f"{self.name}-{track}"

    @property
    def selector(self) -> dict[str, str]:
        """Labels of the model's pods."""
        return {"app.kubernetes.io/name": "podway-serving", f"{OWN}/model": self.name}

    def track_selector(self, track: str) -> dict[str, str]:
        """Labels of a track's pods; a Deployment's can never change."""
        return self.selector | {f"{OWN}/{TRACK}": track}

    def labels(self, track: str = "") -> dict[str, str]:
        """Of objects."""
        own = self.track_selector(track) if track else self.selector
        return own | {"app.kubernetes.io/managed-by": "podway"}

    def version_labels(self, track: str) -> dict[str, str]:
        """Of pods and Deployments: which version they serve."""
        return self.labels(track) | {f"{OWN}/version": str(self.tracks[track].version)}

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """Those that are mounted: the target's, and that of the workdir."""
        scheme, bucket, _ = self._remote
        if scheme != "gs":
            return self.target.buckets
        return (*self.target.buckets, Bucket(bucket, _BUCKET_PATH, read_only=True))

    @property
    def folder(self) -> str:
        """Of the model's versions, as a container sees it."""
        scheme, _, path = self._remote
        home = "/".join(filter(None, (_BUCKET_PATH, path))) if scheme == "gs" else self.workdir
        return f"{home.rstrip('/')}/models/{self.model}"

    @property
    def _remote(self) -> tuple[str, str, str]:
        found = _REMOTE.fullmatch(self.workdir.rstrip("/"))
        return (found[1], found[2], found[3]) if found else ("", "", "")

    def run(self, track: str) -> server.Run:
        """The server of a track."""
        return server.Run(
            self.target.server,
            self.tracks[track],
            self.folder,
            threads=max(1, math.ceil(cores(self.target.cpu))),
            gpu=bool(self.target.gpu),
            label=track,
        )

    def files_name(self, track: str) -> str:
        """Name of the ConfigMap with the server's files: their hash is in it, so that pods are
        made anew when one changes."""
        text = "\0".join(f"{name}\0{text}" for name, text in self.run(track).files().items())
        return f"{self.of_track(track)}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def memory(self, track: str) -> str:
        """Of a pod of a track, as a quantity."""
        return self.target.memory or f"{math.ceil(self.tracks[track].memory / (1 << 20))}Mi"

    def problems(self) -> list[str]:
        """What must be mended before anything is applied, a sentence each."""
        target, found = self.target, []
        if not target.image:
            what = {"podway": "our server's", "tensorflow-serving": "TensorFlow Serving's"}
            found.append(
                f"target.image is missing: give {what[target.server]} image as NAME@sha256:DIGEST"
            )
        scheme, _, _ = self._remote
        mounted = any(
            f"{self.workdir.rstrip('/')}/".startswith(f"{volume.path.rstrip('/')}/")
            for volume in (*target.buckets, *target.claims)
        )
        if (scheme == "gs" and target.provider != "gke") or (scheme and scheme != "gs"):
            found.append(
                f"--workdir is {self.workdir!r}, which only GKE mounts by itself; mount it as a"
                " folder of target.claims, and give that"
            )
        elif not scheme and not mounted:
            found.append(
                f"--workdir is {self.workdir!r}, a folder of this machine; give gs://BUCKET/FOLDER,"
                " or a folder of target.buckets or target.claims"
            )
        return found


def cores(quantity: str) -> float:
    """Cores of a quantity of Kubernetes: "500m" is half of one."""
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)
