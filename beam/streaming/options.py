"""Where a streaming job reads, and where it puts what it cannot take in. Pure Python."""

import dataclasses
import re

from podway.framework.error import check

_SUBSCRIPTION = re.compile(
    r"projects/[a-z][-a-z0-9:.]{4,61}[a-z0-9]/subscriptions/[A-Za-z][\w.~+%-]{2,254}"
)
_TOPIC = re.compile(r"projects/[a-z][-a-z0-9:.]{4,61}[a-z0-9]/topics/[A-Za-z][\w.~+%-]{2,254}")


@dataclasses.dataclass(frozen=True)
class Streaming:
    """Pub/Sub's names."""

    subscription: str = ""
    """projects/PROJECT/subscriptions/NAME that events are read from; of this job alone."""
    dead_topic: str = ""
    """projects/PROJECT/topics/NAME for messages that are no events, each with the reason."""
    shards: int = 4
    """Files that an hour's events are written to at a time; users are spread over them."""

    def __post_init__(self):
        check(self.shards >= 1, f"--shards is {self.shards}; give 1 or more")
        check(
            not self.subscription or bool(_SUBSCRIPTION.fullmatch(self.subscription)),
            f"--subscription is {self.subscription!r}; give projects/PROJECT/subscriptions/NAME",
        )
        check(
            not self.dead_topic or bool(_TOPIC.fullmatch(self.dead_topic)),
            f"--dead-topic is {self.dead_topic!r}; give projects/PROJECT/topics/NAME",
        )
