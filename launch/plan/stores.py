"""Online stores: each user's history and features, in memory."""

from podway.launch.plan.figure import GIB, MONTH_HOURS, Values, largest, whole
from podway.launch.plan.line import Line

SECTION = "stores"


def entry_bytes(v: Values) -> float:
    """Of one user."""
    return v["history_length"] * v["history_event_bytes"] + v["feature_bytes"] + v["key_bytes"]


def nodes(v: Values) -> float:
    """That hold all users, and do all reads and writes of the peak."""
    held = v["users"] * entry_bytes(v) * v["store_copies"] / (v["node_gib"] * GIB)
    reads = v["requests_per_second"] * v["reads_per_request"]
    writes = v["events_per_second"] * v["event_peak"] * v["writes_per_event"] * v["store_copies"]
    done = (reads + writes) / (v["node_operations"] * v["utilisation"])
    return largest(whole(held), whole(done), v["store_copies"])


def lines(v: Values) -> tuple[Line, ...]:
    """What the stores take."""
    count = nodes(v)
    size = v["users"] * entry_bytes(v) / GIB
    reads = v["requests_per_second"] * v["reads_per_request"]
    writes = v["events_per_second"] * v["event_peak"] * v["writes_per_event"]
    return (
        Line(
            SECTION,
            "histories and features",
            size,
            "GiB",
            "users × (history_length × history_event_bytes + feature_bytes + key_bytes)",
        ),
        Line(
            SECTION,
            "reads and writes at the peak",
            reads + writes,
            "1/s",
            "requests × reads_per_request + events × event_peak × writes_per_event",
        ),
        Line(
            SECTION,
            "nodes",
            count,
            "nodes",
            "the more of GiB × store_copies / node_gib, and of reads and writes"
            " / (node_operations × utilisation)",
        ),
        Line(
            SECTION,
            "nodes' vCPUs",
            count * v["node_vcpus"] * MONTH_HOURS,
            "vCPU h",
            "nodes × node_vcpus × month",
            "vcpu_hour",
        ),
        Line(
            SECTION,
            "nodes' memory",
            count * v["node_machine_gib"] * MONTH_HOURS,
            "GiB h",
            "nodes × node_machine_gib × month",
            "memory_gib_hour",
        ),
    )
