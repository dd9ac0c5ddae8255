"""`podway data CONFIG --check`: a dataset against a declared schema and an earlier dataset."""

from __future__ import annotations

import dataclasses
import json

from etils import epath

from podway.framework import artifact
from podway.framework.config.limits import Limits
from podway.framework.error import ConfigError, PodwayError

LATEST = "latest-but-this"


class CheckError(PodwayError):
    """A dataset that is not as it should be; the report was printed."""


@dataclasses.dataclass(frozen=True)
class Check:
    """Whether and how the dataset is checked once it is there."""

    check: bool = False
    """Check the dataset, and exit with 1 if something is wrong."""
    schema: str | None = None
    """File that declares what the dataset must be like (see --infer-schema)."""
    against: str | None = None
    """Earlier version of the dataset to compare with, or latest-but-this, which is taken where
    there is one and neither --against nor --schema is given."""
    report: str | None = None
    """File to write the report to, as JSON."""
    infer_schema: str | None = None
    """Write a declared schema, inferred from the dataset, to this new file; edit and keep it."""
    limits: Limits = Limits()
    """How far the dataset may be from the earlier one."""

    def __post_init__(self):
        for field in ("schema", "against", "report"):
            if getattr(self, field) is not None and not self.check:
                raise ConfigError(f"--{field} says how to check: add --check")


def run(directory: epath.PathLike, options: Check) -> None:
    """Infers a schema from a dataset, or checks it, as the options say.

    Raises:
      CheckError: something is wrong with the dataset; the report was printed.
      ConfigError: an option that does not fit what is there, or a wrong declared schema.
      ArtifactError, SchemaError, DataError: a dataset cannot be read.
    """
    directory = epath.Path(directory)
    if options.infer_schema is not None:
        _infer(directory, epath.Path(options.infer_schema))
    if options.check:
        _check(directory, options)


def _infer(directory: epath.Path, path: epath.Path) -> None:
    from podway.beam.check import declared, described

    if path.exists():
        raise ConfigError(f"{path} is there already; remove it, or name another --infer-schema")
    declared.write(path, declared.infer(described.read(directory)))
    print(f"wrote {path}: edit it, and check with --check --schema {path}")


def _check(directory: epath.Path, options: Check) -> None:
    from podway.beam.check import check

    against = earlier(directory, options.against, needed=options.schema is None)
    report = check.check(directory, schema=options.schema, against=against, limits=options.limits)
    print(report.text())
    if options.report is not None:
        text = json.dumps(report.to_json(), indent=1, ensure_ascii=False)
        artifact.write_atomically(options.report, text + "\n")
    if report.errors:
        raise CheckError(f"{directory} failed the check: see the report above")


def earlier(directory: epath.Path, version: str | None, *, needed: bool) -> epath.Path | None:
    """The dataset to compare with.

    Args:
      directory: of the dataset that is checked.
      version: of the earlier one, or LATEST, or None: LATEST if it is needed.
      needed: whether there is nothing else to check against.

    Raises ConfigError: there is no such dataset.
    """
    if version is None and not needed:
        return None
    others = {
        path.name: path
        for path in directory.parent.iterdir()
        if path.name != directory.name and artifact.exists(path)
    }
    if version in (None, LATEST):
        if not others:
            raise ConfigError(
                f"there is no other version beside {directory} to compare with; give --schema"
            )
        created = {
            name: artifact.read_manifest(path, "dataset").created for name, path in others.items()
        }
        return others[max(created, key=lambda name: (created[name], name))]
    if version not in others:
        raise ConfigError(
            f"--against {version} is no other version of this dataset; there are"
            f" {sorted(others) or 'none'}"
        )
    return others[version]
