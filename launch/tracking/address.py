"""Where the tracking database is: the uri as MLflow takes it, and what is missing to reach it."""

import dataclasses
import hashlib
import importlib.util
import os
import re
import urllib.parse
from typing import Any

from podway.framework.config.tracking import VARIABLE, Tracking, check_uri
from podway.framework.error import PodwayError

EXTRA = "pip install 'podway[tracking]' brings it"


@dataclasses.dataclass(frozen=True)
class Address:
    """A database of MLflow, or its server.

    Attributes:
      uri: as MLflow takes it; files by their absolute paths.
      experiment: of MLflow; "": named as each of ours.
    """

    uri: str
    experiment: str = ""

    @property
    def id(self) -> str:
        """Tells databases apart, and gives no password away."""
        parts = urllib.parse.urlsplit(self.uri)
        plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        return hashlib.sha256(f"{plain} {self.experiment}".encode()).hexdigest()[:12]

    def __str__(self) -> str:
        parts = urllib.parse.urlsplit(self.uri)
        user, _, host = parts.netloc.rpartition("@")
        shown = f"{user.partition(':')[0]}@{host}" if user else host
        return self.uri.replace(f"//{parts.netloc}", f"//{shown}", 1) if user else self.uri

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def of(tracking: Tracking) -> Address | None:
    """The address that a config names; None: nothing is told.

    Raises ConfigError: it cannot be one. PodwayError: what reaches it is not installed.
    """
    uri = tracking.address()
    return checked(uri, tracking.experiment) if uri else None


def given(uri: str, experiment: str, told: Tracking, field: str = "--uri") -> Address:
    """The address that an option gives, or a config, or the environment. Raises PodwayError."""
    uri = uri or told.uri or os.environ.get(VARIABLE, "")
    if not uri:
        raise PodwayError(
            f"{field} is missing, and neither the run's config (tracking.uri) nor {VARIABLE} says"
            " where runs are told of: give sqlite:///FILE, postgresql://USER@HOST/NAME or"
            " https://HOST"
        )
    check_uri(uri, field)
    return checked(uri, experiment or told.experiment)


def checked(uri: str, experiment: str) -> Address:
    """The address; files become absolute. Raises PodwayError: a package is missing."""
    for package in ("mlflow", "sqlalchemy"):
        if not has(package):
            raise PodwayError(f"{package}, which tracking needs, is not installed; {EXTRA}")
    if re.match(r"postgres(ql)?://", uri) and not has("psycopg2"):
        uri = "postgresql+psycopg://" + uri.partition("://")[2]
    if uri.startswith("postgresql+psycopg://") and not has("psycopg"):
        raise PodwayError(f"psycopg, which reaches PostgreSQL, is not installed; {EXTRA}")
    if uri.startswith("sqlite:///"):
        path, mark, query = uri.removeprefix("sqlite:///").partition("?")
        uri = f"sqlite:///{os.path.abspath(path)}{mark}{query}"
    return Address(uri, experiment)


def has(package: str) -> bool:
    """Whether a package is installed; it is not imported, which may take long."""
    return importlib.util.find_spec(package) is not None
