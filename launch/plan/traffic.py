"""What moves: the queue of events, and requests and answers over the network."""

from podway.launch.plan import stores
from podway.launch.plan.figure import GIB, MIB, MONTH, MONTH_HOURS, Values, largest, whole
from podway.launch.plan.line import Line


def requests(v: Values) -> float:
    """In a month."""
    return v["requests_mean"] * MONTH


def queue_lines(v: Values) -> tuple[Line, ...]:
    """What the queue takes."""
    peak = v["events_per_second"] * v["event_peak"] * v["message_bytes"] / MIB
    month = v["events_per_second"] * MONTH * v["message_bytes"] / GIB
    return (
        Line("queue", "events at the peak", peak, "MiB/s", "events × event_peak × message_bytes"),
        Line(
            "queue",
            "partitions",
            largest(whole(peak / v["partition_mib"]), v["zones"]),
            "partitions",
            "MiB/s / partition_mib, one a zone at least; Pub/Sub has none",
        ),
        Line(
            "queue",
            "published and delivered",
            month * (1 + v["subscribers"]),
            "GiB",
            "events × message_bytes × (1 + subscribers)",
            "queue_gib",
        ),
    )


def network_lines(v: Values) -> tuple[Line, ...]:
    """What the network takes."""
    both = (v["request_bytes"] + v["response_bytes"]) * requests(v) / GIB
    read = stores.entry_bytes(v) * v["reads_per_request"] * requests(v) / GIB
    crossing = (both + read) * (1 - 1 / v["zones"])
    return (
        Line(
            "network",
            "through the balancer",
            both,
            "GiB",
            "requests × (request_bytes + response_bytes)",
            "balancer_gib",
        ),
        Line("network", "the balancer", MONTH_HOURS, "h", "month", "balancer_hour"),
        Line(
            "network",
            "to the internet",
            requests(v) * v["response_bytes"] * v["egress_share"] / GIB,
            "GiB",
            "requests × response_bytes × egress_share",
            "egress_gib",
        ),
        Line(
            "network",
            "between zones",
            crossing,
            "GiB",
            "(requests, answers, reads of the store) × (1 − 1 / zones)",
            "zone_gib",
        ),
    )
