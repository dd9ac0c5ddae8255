"""The services beside the model's servers: gateway, nearline, lander."""

from podway.launch.plan.figure import MONTH_HOURS, Values
from podway.launch.plan.line import Line

SECTION = "services"


def gateway_cores(v: Values, rate: float) -> float:
    """vCPUs that answer so many requests a second while one zone is lost."""
    busy = rate * v["gateway_request_ms"] / 1e3 / v["vcpu_speed"] / v["utilisation"]
    return busy * v["zones"] / (v["zones"] - 1) if v["zones"] > 1 else 2 * busy


def consumer_cores(v: Values, per_core: float) -> float:
    """vCPUs that take in the events of the peak."""
    peak = v["events_per_second"] * v["event_peak"]
    return peak / per_core / v["vcpu_speed"] / v["utilisation"]


def lines(v: Values) -> tuple[Line, ...]:
    """What they take; paid for are the gateways of an average hour, and consumers for the peak."""
    mean = gateway_cores(v, v["requests_mean"])
    nearline = consumer_cores(v, v["nearline_events"])
    lander = consumer_cores(v, v["lander_events"])
    hours = (mean + nearline + lander) * MONTH_HOURS
    asked = "requests × gateway_request_ms / (vcpu_speed × utilisation), × zones / (zones − 1)"
    taken = "events × event_peak / (vcpu_speed × utilisation)"
    return (
        Line(
            SECTION,
            "gateways at the peak",
            gateway_cores(v, v["requests_per_second"]),
            "vCPUs",
            asked,
        ),
        Line(SECTION, "gateways on average", mean, "vCPUs", "likewise of requests_mean"),
        Line(SECTION, "nearline", nearline, "vCPUs", f"{taken} / nearline_events"),
        Line(SECTION, "lander", lander, "vCPUs", f"{taken} / lander_events"),
        Line(
            SECTION,
            "services' vCPUs",
            hours,
            "vCPU h",
            "(gateways on average + nearline + lander) × month",
            "vcpu_hour",
        ),
        Line(
            SECTION,
            "services' memory",
            hours * v["gib_per_vcpu"],
            "GiB h",
            "services' vCPUs × gib_per_vcpu",
            "memory_gib_hour",
        ),
    )
