"""Where runs are told of, beside their own folders."""

import dataclasses
import os
import re
import urllib.parse

from podway.framework.error import check

VARIABLE = "MLFLOW_TRACKING_URI"
"""Of the environment: the `uri` of an Mlflow() that names none."""
SCHEMES = ("sqlite", "postgresql", "mysql", "http", "https")
"""What MLflow keeps runs in; a driver may follow, as in postgresql+psycopg."""


@dataclasses.dataclass(frozen=True)
class Tracking:
    """Where runs, evaluations and models are told of; without a `uri`, nowhere."""

    uri: str = ""
    """MLflow's database or server: sqlite:///FILE, postgresql://USER@HOST/NAME, https://HOST."""
    experiment: str = ""
    """The experiment of MLflow that they are part of; "": the name of this one."""

    def __post_init__(self):
        check_uri(self.uri, "tracking.uri")
        parts = urllib.parse.urlsplit(self.uri)
        check(
            parts.password is None,
            "tracking.uri has a password, which would stand in the folder of each run: leave it"
            f" out, and give the whole uri in {VARIABLE}, or the password in PGPASSWORD",
        )

    def address(self) -> str:
        """The uri that counts; "": nothing is told."""
        return self.uri


@dataclasses.dataclass(frozen=True)
class Mlflow(Tracking):
    """Told to MLflow; without a `uri`, to the one that MLFLOW_TRACKING_URI names."""

    def address(self) -> str:
        """The uri that counts. Raises ConfigError: nobody says it."""
        found = self.uri or os.environ.get(VARIABLE, "")
        check(
            bool(found),
            f"tracking is Mlflow() and names no uri: set tracking.uri, or {VARIABLE}",
        )
        check_uri(found, VARIABLE)
        return found


def check_uri(uri: str, field: str) -> None:
    """Raises ConfigError unless `uri`, which stands in `field`, is "" or one of SCHEMES."""
    if not uri:
        return
    scheme = re.split(r"[+:]", uri, maxsplit=1)[0]
    said = urllib.parse.urlsplit(uri)._replace(netloc="…").geturl() if "@" in uri else uri
    check(
        scheme in SCHEMES and "://" in uri,
        f"{field} is {said!r}; give sqlite:///FILE, postgresql://USER@HOST/NAME or https://HOST",
    )
    check(
        scheme != "sqlite" or re.fullmatch("sqlite:///.+", uri) is not None,
        f"{field} is {said!r}; give sqlite:///FILE, with three slashes, or four before an absolute"
        " path",
    )
