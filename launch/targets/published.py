"""Published versions of a model, as targets serve them: which, how large, how they are batched."""

import dataclasses
from collections.abc import Mapping

from podway.export import layout
from podway.export.error import ExportError
from podway.export.versions import promote
from podway.framework import artifact
from podway.framework.error import ConfigError, check

STABLE, CANARY = "stable", "canary"
"""The tracks: labels of the same names say which version is on which."""

GIB = 1 << 30
_RUNTIME_BYTES = 5 * GIB // 4
_FACTOR = 7
"""Times the files' size that a server takes at its highest: tensors are read from the files, held
as variables, and scored against by whole batches. `python -m benchmarks.catalogue --memory`
measured 966, 1,482 and 2,601 MiB of the embedded server for 3, 77 and 257 MiB of files (10 k, 300 k
and 1 M items of width 64, batches of 64): 950 MiB and 6.4 to 6.9 times the files. Of other servers
nothing was measured."""


@dataclasses.dataclass(frozen=True)
class Published:
    """A version that was verified and published.

    Attributes:
      name: of the model.
      version: its number.
      bytes: of what a server loads: all files but those beside the SavedModel.
      batch_buckets: batch sizes that it compiles, rising.
      ragged: whether requests may differ in more than their number of rows, as histories do in
        their length.
      hash: version of the artefact.
    """

    name: str
    version: int
    bytes: int
    batch_buckets: tuple[int, ...]
    ragged: bool
    hash: str

    @property
    def memory(self) -> int:
        """Bytes of memory that a server of it should have."""
        return _RUNTIME_BYTES + _FACTOR * self.bytes


def read(name: str, version: int, workdir: str) -> Published:
    """A version, by its manifest. Raises ArtifactError, ExportError: none, or not verified."""
    home = layout.models(workdir) / name / str(version)
    if not home.exists():
        there = ", ".join(map(str, promote.numbers(home.parent))) or "none"
        raise ExportError(f"{home} does not exist; the published versions are: {there}")
    manifest = artifact.read_manifest(home, "model", manifest=layout.MANIFEST)
    if not manifest.details.get(promote.VERIFIED):
        raise ExportError(
            f"{home} was never verified: its manifest has no record of it; export it again"
        )
    beside = layout.MANIFEST.partition("/")[0] + "/"
    return Published(
        name,
        version,
        sum(file.size for file in manifest.files if not file.path.startswith(beside)),
        tuple(manifest.details["batch_buckets"]),
        bool(manifest.details.get("padding")),
        manifest.version,
    )


def tracks(
    name: str, workdir: str, stable: int | None = None, canary: int | None = None
) -> Mapping[str, Published]:
    """The versions that are to serve, by track: "stable", and perhaps "canary".

    Without numbers they are those that the labels stand at, and "stable" without a label is the
    version that requests without a label get.

    Raises ArtifactError, ExportError, ConfigError.
    """
    served, unlabelled, _ = promote.read(name, workdir)
    if stable is None:
        stable = served.labels.get(STABLE, unlabelled)
    if canary is None:
        canary = served.labels.get(CANARY)
    if stable is None:
        raise ConfigError(
            f"no version of {name} is asked for by models.config; give --stable VERSION, or"
            f" `podway promote {name} VERSION`"
        )
    check(
        canary != stable or canary == served.labels.get(CANARY),
        f"--canary is {canary}, which is the stable version; give another, or leave it out",
    )
    found = {STABLE: read(name, stable, workdir)}
    if canary is not None and canary != stable:
        found[CANARY] = read(name, canary, workdir)
    return found
