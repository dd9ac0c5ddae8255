"""Cloud Run by Google's client, where that is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podway.framework.error import ConfigError
from podway.launch.targets.cloud_run.target import Place

if TYPE_CHECKING:
    from podway.launch.targets.cloud_run.cloud import Cloud


def connect(place: Place) -> Cloud:
    """Cloud Run in a project and region. Raises ConfigError, LaunchError."""
    try:
        from podway.launch.targets.cloud_run import cloud
    except ModuleNotFoundError as error:  # of one of several packages called google.…
        raise ConfigError(
            f"{error.name} is not installed; pip install 'podway[cloud-run]' brings it"
        ) from error
    return cloud.Cloud(place)
