"""How a new version comes to its users, and what sends it back."""

import dataclasses

from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Rollout:
    """A published version → all requests, step by step, unless it is worse.

    Margins say how much worse the new version may be. They are differences: 0.01 lets it fail for
    one more request in a hundred.
    """

    shadow: float = 0.0
    """Share of the requests that are copied to the new version before anybody gets its answers; 0:
    no shadow."""
    shares: tuple[float, ...] = (0.05, 0.25)
    """Shares of the users who get the new version, rising, one after the other; then all do."""
    requests: int = 1000
    """Smallest number of requests that the new version must have answered at each share."""
    shortest_seconds: float = 60.0
    """Shortest stay at a share."""
    longest_seconds: float = 86_400.0
    """Longest stay at a share: a version that has not got `requests` by then goes back."""
    false_return: float = 0.01
    """Largest probability that a version which is no worse is sent back by chance, in the whole
    rollout, however long it is and however often it is looked at."""
    error_margin: float = 0.005
    """Share of requests that may fail beyond those that fail in the old version. Scores that are no
    numbers are failures, too."""
    slow_quantile: float = 0.95
    """A request is slow if it takes longer than this share of the old version's."""
    slow_margin: float | None = 0.05
    """Share of requests that may be slow beyond the old version's; None: any."""
    empty_margin: float | None = 0.01
    """Share of answers that may be empty beyond the old version's; None: any."""
    score_margin: float | None = 0.3
    """How far the share of answers below the old version's lowest tenth, median and highest tenth
    of scores may move, up or down; None: any."""
    value_margin: float | None = 0.05
    """How much less an answer may be worth, as part of `value_most`; None: any. Counts where values
    are reported."""
    value_most: float = 1.0
    """The value of the best answer, as it is reported: 1 where an answer is clicked or not."""
    load_seconds: float = 600.0
    """Longest that a server may take to load the new version."""
    client_seconds: float = 5.0
    """Longest that a client takes to see that a share has changed."""
    interval_seconds: float = 1.0
    """Between two looks at what clients have seen."""

    def __post_init__(self):
        check(0 <= self.shadow <= 1, f"rollout.shadow is {self.shadow}; give a share, 0 to 1")
        check(
            all(0 < share < 1 for share in self.shares)
            and tuple(sorted(set(self.shares))) == self.shares,
            f"rollout.shares is {self.shares}; give rising shares between 0 and 1, as 0.05 0.25",
        )
        check(
            bool(self.shares) or self.shadow > 0,
            "rollout.shares is empty and rollout.shadow is 0, so that nothing would be seen of the"
            " new version; give one of them",
        )
        check(self.requests >= 1, f"rollout.requests is {self.requests}; give 1 or more")
        for name in ("load_seconds", "interval_seconds", "longest_seconds", "value_most"):
            value = getattr(self, name)
            check(value > 0, f"rollout.{name} is {value}; give more than 0")
        for name in ("client_seconds", "shortest_seconds"):
            value = getattr(self, name)
            check(value >= 0, f"rollout.{name} is {value}; give 0 or more")
        check(
            self.shortest_seconds <= self.longest_seconds,
            f"rollout.shortest_seconds is {self.shortest_seconds}; give"
            f" rollout.longest_seconds, {self.longest_seconds}, or less",
        )
        for name in ("false_return", "slow_quantile"):
            value = getattr(self, name)
            check(0 < value < 1, f"rollout.{name} is {value}; give a number between 0 and 1")
        for name in ("error", "slow", "empty", "score", "value"):
            value = getattr(self, f"{name}_margin")
            check(
                value is None or 0 <= value < 1,
                f"rollout.{name}_margin is {value}; give a share, 0 or more and below 1",
            )
