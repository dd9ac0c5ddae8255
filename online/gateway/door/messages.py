"""The messages of the gRPC API, as docs/online/recommend.proto has them; a test compares."""

import math
from typing import Any

from podway.online.gateway import request as requests
from podway.online.gateway.answer import Answer
from podway.online.gateway.request import Request
from podway.online.servers import protos
from podway.online.servers.protos import Messages

PACKAGE = "podway.gateway.v1"
SERVICE, METHOD = f"{PACKAGE}.Recommender", "Recommend"
COLLECTOR, COLLECT = f"{PACKAGE}.Collector", "Collect"
MESSAGES: Messages = {
    "RecommendRequest": {
        "user": (1, "string"),
        "items": (2, "string*"),
        "segment": (3, "string"),
        "device": (4, "string"),
        "k": (5, "int32"),
        "exclude": (6, "string*"),
        "timeout_ms": (7, "double"),
        "request_id": (8, "string"),
    },
    "Entry": {"key": (1, "string"), "value": (2, "string")},
    "Item": {
        "item": (1, "string"),
        "score": (2, "double"),
        "reason": (3, "string"),
        "attributes": (4, "string"),
    },
    "RecommendResponse": {
        "request_id": (1, "string"),
        "source": (2, "string"),
        "model": (3, "string"),
        "version": (4, "int64"),
        "arm": (5, "string"),
        "trials": (6, "Entry*"),
        "missing": (7, "Entry*"),
        "items": (8, "Item*"),
        "age_seconds": (9, "double"),
    },
    "CollectRequest": {"events": (1, "string*")},
    "Refusal": {"at": (1, "int32"), "id": (2, "string"), "why": (3, "string")},
    "CollectResponse": {"accepted": (1, "int32"), "refused": (2, "Refusal*")},
}
"""Entry is what an entry of map<string, string> is on the wire."""
_ALL = protos.classes(MESSAGES, PACKAGE)
RecommendRequest, RecommendResponse = _ALL["RecommendRequest"], _ALL["RecommendResponse"]
CollectRequest, CollectResponse = _ALL["CollectRequest"], _ALL["CollectResponse"]

_HEALTH = protos.classes(
    {
        "HealthCheckRequest": {"service": (1, "string")},
        "HealthCheckResponse": {"status": (1, "int32")},
    },
    "grpc.health.v1",
)
HealthCheckRequest = _HEALTH["HealthCheckRequest"]
HealthCheckResponse = _HEALTH["HealthCheckResponse"]
SERVING, NOT_SERVING = 1, 2
"""Of grpc/health/v1/health.proto."""


def read(message: Any, *, most: int, left: float | None, trace: str, client: str) -> Request:
    """A message's request. Raises RequestError.

    Args:
      message: RecommendRequest.
      most: items that it may ask for.
      left: seconds of the call; None: it has no deadline.
      trace: the span of the answer.
      client: who asks.
    """
    given: dict[str, Any] = {
        "user": message.user,
        "items": list(message.items),
        "segment": message.segment,
        "device": message.device,
        "k": message.k or None,
        "exclude": list(message.exclude),
        "timeout_ms": message.timeout_ms or None,
        "request_id": message.request_id,
    }
    if given["timeout_ms"] is None and left is not None and 0 < left < math.inf:
        # What is left is for the way back.
        given["timeout_ms"] = left * 1000 * 0.9
    return requests.of(given, most=most, trace=trace, client=client)


def write(answer: Answer) -> Any:
    """RecommendResponse of an answer."""
    message = RecommendResponse(
        request_id=answer.id,
        source=answer.source,
        model=answer.model,
        version=answer.version or 0,
        arm=answer.arm,
        age_seconds=answer.age or 0.0,
    )
    for field, entries in ((message.trials, answer.trials), (message.missing, answer.missing)):
        for key, value in entries.items():
            field.add(key=key, value=value)
    for item, score, reason, attributes in answer.items:
        message.items.add(
            item=item,
            score=score,
            reason=reason,
            attributes=attributes.json.decode() if attributes else "",
        )
    return message
