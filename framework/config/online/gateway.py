"""The service that answers users: whom it asks, how long it waits, what it does without them."""

import dataclasses
from typing import Literal

from podway.framework.config.online.intake import Intake
from podway.framework.config.online.rules import Rules
from podway.framework.config.online.trial import Trial, check_together
from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Column:
    """One input of a ranker: a value for each candidate."""

    name: str
    """Of the model's input."""
    source: str
    """Where the value is from: "user", "item", "score" (the retriever's), "segment", "device", or
    "item.NAME", an attribute of the item."""
    type: Literal["string", "float32", "int64", "int32"] = "string"
    """The input's type; a value that is missing is "" or 0."""

    def __post_init__(self):
        fixed = ("user", "item", "score", "segment", "device")
        check(
            self.source in fixed or self.source.startswith("item."),
            f"ranker.columns: the source of {self.name} is {self.source!r}; give one of"
            f" {', '.join(fixed)}, or item.NAME for an attribute of the item",
        )


@dataclasses.dataclass(frozen=True)
class Ranker:
    """A second model, which orders the candidates of the first."""

    model: str = ""
    """Its name on the server; "": none, the first model's order stands."""
    server: str = ""
    """HOST:PORT of gRPC, or http://HOST:PORT of REST; "": the gateway's `server`."""
    output: str = "score"
    """Its output with a number for each row; the highest comes first."""
    signature: str = ""
    """Of the model; "": serving_default."""
    columns: tuple[Column, ...] = ()
    """Its inputs."""
    candidates: int = 100
    """So many of the first are ranked at most."""

    def __post_init__(self):
        check(self.candidates >= 1, f"ranker.candidates is {self.candidates}; give 1 or more")
        check(
            not self.model or bool(self.columns),
            f"ranker.columns is empty; give the inputs of {self.model}",
        )


@dataclasses.dataclass(frozen=True)
class Budget:
    """Seconds that a request has, and what of them each may take. A caller may ask for less."""

    seconds: float = 0.3
    """From the request to its answer."""
    store: float = 0.25
    """Share for histories and attributes."""
    retrieve: float = 0.5
    """Share for the model."""
    rank: float = 0.2
    """Share for the ranker."""

    def __post_init__(self):
        check(0 < self.seconds <= 60, f"budget.seconds is {self.seconds}; give 0 to 60, above 0")
        shares = (self.store, self.retrieve, self.rank)
        check(
            min(shares) > 0 and sum(shares) <= 1,
            f"the shares of budget, store, retrieve and rank, are {shares}; give numbers above 0"
            " that sum to at most 1",
        )


@dataclasses.dataclass(frozen=True)
class Guard:
    """When a backend is not asked for a while, and when it is asked twice."""

    failures: float = 0.5
    """Share of calls that fail, from which on it is left alone."""
    calls: int = 10
    """Fewest calls in `window_seconds` by which that is judged."""
    window_seconds: float = 2.0
    """How far back calls are counted."""
    open_seconds: float = 1.0
    """It is left alone so long; then one call tries it."""
    hedge: float = 0.05
    """Share of calls that may be asked a second time, once they take longer than `hedge_quantile`
    of the calls before; 0: none."""
    hedge_quantile: float = 0.95
    """See `hedge`."""

    def __post_init__(self):
        check(0 < self.failures <= 1, f"guard.failures is {self.failures}; give a share above 0")
        check(self.calls >= 1, f"guard.calls is {self.calls}; give 1 or more")
        for name in ("window_seconds", "open_seconds"):
            value = getattr(self, name)
            check(0 < value < float("inf"), f"guard.{name} is {value}; give seconds above 0")
        check(0 <= self.hedge <= 1, f"guard.hedge is {self.hedge}; give a share, 0 to 1")
        check(
            0 < self.hedge_quantile < 1,
            f"guard.hedge_quantile is {self.hedge_quantile}; give a number between 0 and 1",
        )


@dataclasses.dataclass(frozen=True)
class Access:
    """Who may ask, and how often."""

    kind: Literal["open", "token", "proxy"] = "open"
    """open: whoever reaches the port. token: who has a bearer token of `tokens`. proxy: requests
    come from a reverse proxy, which names the client in the header `header`."""
    tokens: str = ""
    """File with a line NAME SHA256 for each client: the hash of its token in hexadecimal digits. A
    change is seen within seconds. "": the same lines in the variable PODWAY_GATEWAY_TOKENS."""
    header: str = "X-Forwarded-User"
    """See `proxy`; the proxy must take it away from what clients send."""
    rate: float = 0.0
    """Requests a second of one client, which is its name, or else its address; 0: any number.
    Several processes share it evenly."""
    burst: float = 2.0
    """A client may be ahead by what it has in so many seconds."""

    def __post_init__(self):
        for name in ("rate", "burst"):
            value = getattr(self, name)
            check(0 <= value < float("inf"), f"access.{name} is {value}; give 0 or more")
        check(
            self.rate * self.burst >= 1 or not self.rate,
            f"access.burst is {self.burst}: at a rate of {self.rate} no request would ever be let"
            " in; give burst of 1 / rate or more",
        )


@dataclasses.dataclass(frozen=True)
class Gateway:
    """User and context → recommendations."""

    server: str = "127.0.0.1:8500"
    """The model server: HOST:PORT of gRPC, or http://HOST:PORT of REST."""
    model: str = ""
    """Name of the model; "": the experiment's."""
    signature: str = ""
    """Of the model; "": serving_default. "filtered", where the export has candidate_filter, is told
    what must not come, so that a long history leaves room for others."""
    times: bool = False
    """Whether the model reads the times of a history."""
    history: int = 200
    """The latest events of a user that are read."""
    events: tuple[str, ...] = ()
    """Types of events that are the model's history; empty: all that the store has."""
    ranker: Ranker = Ranker()
    """A second model."""
    k: int = 20
    """Items in an answer, where the request does not say."""
    most: int = 100
    """Most items that a request may ask for."""
    rules: Rules = Rules()
    """Which candidates may be shown, and in what order."""
    trials: tuple[Trial, ...] = ()
    """Experiments on users that run."""
    budget: Budget = Budget()
    """Seconds of a request."""
    guard: Guard = Guard()
    """Of each backend."""
    access: Access = Access()
    """Who may ask."""
    cold: Literal["popular", "model"] = "popular"
    """Who answers users without any history: the list that was made for them beforehand, and then
    what is popular in their segment; or the model."""
    cache_seconds: float = 5.0
    """An answer of the model is used again so long, while the user's history is the same; 0:
    never."""
    last_seconds: float = 3600.0
    """The last answer of the model for a user stands in so long when the model does not answer."""
    stored_seconds: float = 604_800.0
    """A list that `podway predict --store` wrote for a user stands in so long, by when it was made;
    0: none does."""
    remembered: int = 10_000
    """Users whose last answer and history are kept in memory; items, ten times as many. A history
    of 200 events takes some 40 kB, an answer 6."""
    item_seconds: float = 60.0
    """Attributes of items are read again after so long."""
    lists_seconds: float = 5.0
    """The store's lists (popular, new, allow, deny) are read again after so long."""
    always: tuple[str, ...] = ()
    """Items for those whom nothing else can answer: no model, no list of what is popular."""
    in_flight: int = 1000
    """Requests at a time; those beyond get what is popular, at once."""
    impressions: bool = True
    """Publish what was shown to the topic of events."""
    intake: Intake = Intake()
    """Events that clients send."""
    buffer: int = 10_000
    """Answers whose impressions wait for the queue; beyond, they are dropped and counted."""
    log_share: float = 0.01
    """Share of the requests that are logged: no user, no item; failures always are."""
    log_users: bool = False
    """Whether the log names users."""
    leave_seconds: float = 0.0
    """At its end it goes on so long, and says that it is not ready, so that balancers see it."""
    drain_seconds: float = 10.0
    """At its end it takes so long to finish requests and impressions, at most."""

    def __post_init__(self):
        for name in ("history", "k", "most", "remembered", "in_flight", "buffer"):
            value = getattr(self, name)
            check(value >= 1, f"gateway.{name} is {value}; give 1 or more")
        check(self.k <= self.most, f"gateway.k is {self.k}; give at most gateway.most, {self.most}")
        for name in ("cache_seconds", "last_seconds", "stored_seconds", "item_seconds"):
            value = getattr(self, name)
            check(0 <= value < float("inf"), f"gateway.{name} is {value}; give 0 or more")
        for name in ("leave_seconds", "drain_seconds"):
            value = getattr(self, name)
            check(0 <= value <= 3600, f"gateway.{name} is {value}; give 0 to 3600")
        check(
            0 < self.lists_seconds < float("inf"),
            f"gateway.lists_seconds is {self.lists_seconds}; give seconds above 0",
        )
        check(
            0 <= self.log_share <= 1,
            f"gateway.log_share is {self.log_share}; give a share, 0 to 1",
        )
        check_together(self.trials)
