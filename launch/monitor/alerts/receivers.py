"""Who is told, and where everything listens."""

import dataclasses

from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Receivers:
    """Who is told."""

    page: str = "http://localhost:9099/page"
    """URL of the webhook that wakes somebody: critical alerts."""
    ticket: str = "http://localhost:9099/ticket"
    """URL of the webhook for what waits until the morning."""

    def __post_init__(self):
        for name in ("page", "ticket"):
            value = getattr(self, name)
            check(
                value.startswith(("http://", "https://")),
                f"receivers.{name} is {value!r}; give the URL of a webhook, http:// or https://",
            )


@dataclasses.dataclass(frozen=True)
class Places:
    """Where things listen, HOST:PORT."""

    servers: tuple[str, ...] = ("localhost:8501",)
    """REST ports of the model servers."""
    monitors: tuple[str, ...] = ("localhost:9464",)
    """Ports of `podway monitor`."""
    alertmanager: str = "localhost:9093"
