"""One machine, as its user names it."""

import dataclasses
import re

from podway.framework.error import ConfigError

_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_HOST = re.compile(
    rf"(?:(?P<user>{_NAME})@)?(?P<name>{_NAME}|\[[0-9A-Fa-f:.]+(?:%\w+)?\])(?::(?P<port>\d{{1,5}}))?"
)


@dataclasses.dataclass(frozen=True)
class Host:
    """Where to connect to.

    Attributes:
      text: as it was given; its name in all messages.
      destination: what ssh takes: USER@NAME.
      port: of its ssh server; "": what ssh's config says.
    """

    text: str
    destination: str
    port: str = ""

    @classmethod
    def parse(cls, text: str) -> "Host":
        """Of USER@HOST:PORT. Raises ConfigError: what ssh might take for an option, too."""
        found = _HOST.fullmatch(text)
        if found is None or int(found["port"] or 1) not in range(1, 65536):
            raise ConfigError(
                f"target.hosts has {text!r}; give HOST, USER@HOST or HOST:PORT, and an IPv6"
                " address in [ ]"
            )
        user = f"{found['user']}@" if found["user"] else ""
        return cls(text, user + found["name"].strip("[]"), found["port"] or "")

    def __str__(self) -> str:
        return self.text
