"""The gateway on Cloud Run, as a typed config.

What Cloud Run allows: docs.cloud.google.com/run/docs/configuring/services/secrets,
…/configuring/vpc-direct-vpc, …/configuring/healthchecks, …/configuring/session-affinity.
"""

import dataclasses
import re
from typing import Literal

from podway.framework.error import check
from podway.launch.targets.cloud_run.target import CONCURRENCY, Place, check_cpu

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,255}")
_NETWORK = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_OWN = ("PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION")
"""Variables that Cloud Run sets."""


@dataclasses.dataclass(frozen=True)
class Secret:
    """A variable of the gateway whose value lies in Secret Manager: passwords of queue and store,
    tokens of clients."""

    variable: str
    """Its name, as PODWAY_GATEWAY_TOKENS."""
    secret: str
    """The secret's name, of the same project; the service account must be a
    roles/secretmanager.secretAccessor of it."""
    version: str = "latest"
    """Its version, a number; "latest" may differ between two instances."""

    def __post_init__(self):
        check(
            bool(_VARIABLE.fullmatch(self.variable)) and self.variable not in _OWN,
            f"target.secrets: variable is {self.variable!r}; give capital letters, digits and '_',"
            f" and none of {', '.join(_OWN)}",
        )
        check(
            bool(_SECRET.fullmatch(self.secret)),
            f"target.secrets: the secret of {self.variable} is {self.secret!r}; give its name in"
            " Secret Manager, without the project",
        )
        check(
            self.version == "latest" or self.version.isdecimal(),
            f"target.secrets: the version of {self.secret} is {self.version!r}; give a number, or"
            " latest",
        )


@dataclasses.dataclass(frozen=True)
class Network:
    """How instances reach what has private addresses: store, queue, model server."""

    subnet: str = ""
    """In the same region, that instances get addresses of; empty: none, or a connector."""
    network: str = ""
    """Of the subnet; empty: the one of the same name as the subnet, or default."""
    connector: str = ""
    """A Serverless VPC Access connector instead of a subnet."""
    everything: bool = False
    """Send all traffic that way, and not only that to private addresses."""

    def __post_init__(self):
        for name in ("subnet", "network", "connector"):
            value = getattr(self, name)
            check(
                not value or bool(_NETWORK.fullmatch(value)),
                f"target.network.{name} is {value!r}; give a name of Google Cloud: small letters,"
                " digits and '-'",
            )
        check(
            not (self.connector and (self.subnet or self.network)),
            "target.network has a connector and a subnet; give one of them",
        )
        check(
            bool(self.subnet or self.connector) or not self.everything,
            "target.network.everything goes with a subnet or a connector; give one",
        )


@dataclasses.dataclass(frozen=True)
class CloudRunGateway(Place):
    """Gateways that come and go with the requests."""

    protocol: Literal["rest", "grpc"] = "rest"
    """What is answered: a service has one port."""
    cpu: int = 1
    """Cores of an instance, and gateway processes in it: 1, 2, 4, 6 or 8."""
    memory: str = "2Gi"
    """Memory of an instance; each process remembers users (online.gateway.remembered)."""
    least: int = 1
    """Instances without a request. What is remembered of users goes with an instance."""
    most: int = 20
    """Instances, whatever the load."""
    concurrency: int = 80
    """Requests that an instance is given at once for each of its cores."""
    timeout_seconds: int = 30
    """Longest that a request may take, that of events included."""
    ingress: Literal["internal", "internal-and-cloud-load-balancing", "all"] = "internal"
    """Where requests may come from. Who may ask is a matter of IAM, too: roles/run.invoker."""
    network: Network = Network()
    """How it reaches private addresses."""
    secrets: tuple[Secret, ...] = ()
    """Variables with passwords and tokens."""

    def __post_init__(self):
        super().__post_init__()
        check_cpu(self.cpu, self.memory)
        check(0 <= self.least <= self.most, f"target.least is {self.least}; give 0 to target.most")
        check(self.most >= 1, f"target.most is {self.most}; give 1 or more")
        check(
            self.concurrency >= 1 and self.concurrency * self.cpu <= CONCURRENCY,
            f"target.concurrency is {self.concurrency} for each of {self.cpu} cores; an instance"
            f" takes {CONCURRENCY} requests at most: give 1 to {CONCURRENCY // self.cpu}",
        )
        check(
            1 <= self.timeout_seconds <= 3600,
            f"target.timeout_seconds is {self.timeout_seconds}; give 1 to 3600",
        )
        names = [each.variable for each in self.secrets]
        twice = sorted({name for name in names if names.count(name) > 1})
        check(not twice, f"target.secrets has {', '.join(twice)} twice; give each variable once")
