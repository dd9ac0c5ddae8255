"""Serving: replicas over the zones, at the peak and on average."""

from podway.launch.plan.figure import GIB, MONTH_HOURS, Values, largest, whole
from podway.launch.plan.line import Line

SECTION = "serving"


def request_ms(v: Values) -> float:
    """That one core works for a request."""
    return v["request_base_ms"] + v["items"] * v["request_item_ns"] / 1e6


def replicas(v: Values, rate: float) -> float:
    """That answer so many requests a second while one zone, or one replica, is lost."""
    answered = 1e3 / request_ms(v) * v["vcpu_speed"] * v["utilisation"] * v["replica_vcpus"]
    needed = whole(rate / answered)
    zones = v["zones"]
    spread = whole(needed * zones / (zones - 1)) if zones > 1 else needed + 1
    return largest(spread, zones, 2.0)


def replica_gib(v: Values) -> float:
    """Memory of a replica: what comes with its vCPUs, or more where the model needs it."""
    held = v["model_bytes"] * v["versions_in_memory"] / GIB + v["server_gib"]
    return largest(held, v["replica_vcpus"] * v["gib_per_vcpu"])


def lines(v: Values) -> tuple[Line, ...]:
    """What serving takes; paid for are the replicas of an average hour."""
    peak, mean = replicas(v, v["requests_per_second"]), replicas(v, v["requests_mean"])
    hours = mean * MONTH_HOURS
    needed = "requests × time / (vcpu_speed × utilisation × replica_vcpus)"
    return (
        Line(
            SECTION,
            "time of a request, one core",
            request_ms(v),
            "ms",
            "request_base_ms + items × request_item_ns",
        ),
        Line(SECTION, "replicas at the peak", peak, "replicas", f"{needed}, × zones / (zones − 1)"),
        Line(SECTION, "replicas on average", mean, "replicas", "likewise of requests_mean"),
        Line(
            SECTION,
            "memory of a replica",
            replica_gib(v),
            "GiB",
            "model_bytes × versions_in_memory + server_gib, or replica_vcpus × gib_per_vcpu",
        ),
        Line(
            SECTION,
            "replicas' vCPUs",
            hours * v["replica_vcpus"],
            "vCPU h",
            "replicas on average × replica_vcpus × month",
            "vcpu_hour",
        ),
        Line(
            SECTION,
            "replicas' memory",
            hours * replica_gib(v),
            "GiB h",
            "replicas on average × memory × month",
            "memory_gib_hour",
        ),
    )
