"""One launch: an experiment, a target and a workdir, and the names that follow from them."""

import dataclasses
import functools
import re

from podway.framework.config import Rdatasets
from podway.framework.error import ConfigError, check
from podway.launch.targets import names, packages
from podway.launch.targets.kubernetes import pools
from podway.launch.targets.kubernetes.target import Kubernetes
from podway.launch.targets.launched import Launched

OWN = "podway.dev"
"""Prefix of our labels and annotations."""
_KEY = re.compile(r"[-._/a-zA-Z0-9]+")
"""Paths that a ConfigMap's keys can stand for."""
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://")
CONFIG_MAP_BYTES = 1_000_000
"""What a ConfigMap may hold: a mebibyte, less the names."""


@dataclasses.dataclass(frozen=True)
class Launch(Launched):
    """What is launched on a cluster."""

    target: Kubernetes

    def __post_init__(self):
        super().__post_init__()
        check(
            self.frozen.size <= CONFIG_MAP_BYTES,
            f"the experiment and its sources have {self.frozen.size:,} bytes, and a ConfigMap"
            f" holds {CONFIG_MAP_BYTES:,}: build large files into the image, or put them into the"
            " workdir",
        )

        for path in self.frozen.files:
            check(
                bool(_KEY.fullmatch(path)),
                f"the experiment's source {path!r} has a name that a ConfigMap cannot hold; rename"
                " it to letters, digits, '.', '_' and '-'",
            )

    @functools.cached_property
    def pool(self) -> pools.Pool:
        """The machines of a slice. Raises ConfigError: there are no such."""
        return pools.of(self.target)

    @property
    def labels(self) -> dict[str, str]:
        """Of all objects of the launch."""
        return {
            "app.kubernetes.io/name": "podway",
            "app.kubernetes.io/managed-by": "podway",
            f"{OWN}/experiment": names.legal(self.experiment.name),
            f"{OWN}/launch": self.name,
        }

    @property
    def annotations(self) -> dict[str, str]:
        """Of the job: what labels cannot hold."""
        return {
            f"{OWN}/experiment": self.experiment.name,
            f"{OWN}/hash": self.hash,
            f"{OWN}/workdir": self.workdir,
        }

    def problems(self) -> list[str]:
        """What must be mended before anything is applied, a sentence each."""
        target, found = self.target, []
        for field in dataclasses.fields(target.images):
            if not getattr(target.images, field.name):
                found.append(
                    f"target.images.{field.name} is missing: build and push the image, and give"
                    " NAME@sha256:DIGEST"
                )
        if not _REMOTE.match(self.workdir) and not self._mounted(self.workdir):
            found.append(
                f"--workdir is {self.workdir!r}, a folder of this machine; give gs://BUCKET/FOLDER,"
                " or a folder of target.buckets or target.claims"
            )
        for data in (self.experiment.data, *(each.data for each in self.experiment.mixture)):
            paths = [] if isinstance(data.format, Rdatasets) else [data.path]
            for path in (*paths, *_side_tables(data)):
                if not _REMOTE.match(path) and not self._mounted(path):
                    found.append(
                        f"data.path of {data.name!r} is {path!r}, which the cluster's machines"
                        " don't see; copy it to gs://, or into a volume, and name it there"
                    )
        return found

    def notes(self) -> list[str]:
        """What may go wrong, and cannot be seen from here."""
        return packages.notes(self.experiment)

    def _mounted(self, path: str) -> bool:
        volumes = (*self.target.buckets, *self.target.claims)
        return any(f"{path}/".startswith(f"{volume.path.rstrip('/')}/") for volume in volumes)


def _side_tables(data) -> list[str]:
    return [table.path for table in data.tables if not isinstance(table.format, Rdatasets)]


def check_trained_in_steps(launch: Launch) -> None:
    """Raises ConfigError: several processes cannot share the work."""
    from podway.framework import task

    several = launch.pool.hosts * launch.target.slices > 1
    if several and isinstance(launch.experiment.model, task.FittedModel):
        kind = type(launch.experiment.model).__name__
        raise ConfigError(f"{kind} is fitted by one process; give target.accelerator one host")


def check_mesh(launch: Launch) -> None:
    """Raises ConfigError: the experiment's mesh does not fit the devices that the target has.

    A machine's CPU is one device, unless XLA_FLAGS among the target's variables makes it several.
    """
    from podway.framework.devices import mesh

    found, target = launch.pool.topology, launch.target
    names = {pair.split("=", 1)[0] for pair in target.environment}
    if not launch.pool.resource and "XLA_FLAGS" in names:
        return
    try:
        mesh.shape(launch.experiment.mesh, found.devices, found.slices)
    except ConfigError as error:
        where = f"target.accelerator {target.accelerator!r}"
        where += f", target.slices {target.slices}" if target.slices > 1 else ""
        raise ConfigError(f"{where}: {error}") from error
