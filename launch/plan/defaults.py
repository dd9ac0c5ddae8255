"""The figures that nobody was asked for, each with where it comes from.

What was measured stands in docs/results.md with its command; rules of thumb are ours, and the
sensitivity says which of them matter. `--assume NAME=VALUE` sets any of them.
"""

from podway.launch.plan.figure import Figure

_RESULTS = "docs/results.md, two shared cores"
_REDIS = "docs.cloud.google.com/memorystore/docs/cluster/cluster-node-specification"

MEASURED = (
    Figure(
        "rows_per_core_second",
        0.71e6 / 2,
        "rows/s",
        "measured",
        f"0.71 M rows/s of Parquet, python -m benchmarks.data --rows 50000000 ({_RESULTS})",
        "rows that one core of a Beam worker makes a dataset of",
        low=1e-9,
    ),
    Figure(
        "request_base_ms",
        1e3 * 2 / 1826,
        "ms",
        "measured",
        f"1,826 QPS over gRPC, the client on the same cores, benchmarks.serving ({_RESULTS})",
        "one core's time for a request, without the items' scores",
        low=1e-9,
    ),
    Figure(
        "request_item_ns",
        (4.9e6 - 2e9 / 1826) / 1e6,
        "ns",
        "measured",
        "4.9 ms a request at 1 M items of width 64, benchmarks.catalogue, one core, less the base",
        "one core's time for an item's score: the whole catalogue is scored",
    ),
)
"""Measured with this repository's benchmarks, on machines named there."""

SERVICES = (
    Figure(
        "gateway_request_ms",
        0.85,
        "ms",
        "measured",
        "0.82 to 0.85 ms of CPU, the model asked, python -m benchmarks.online.gateway"
        f" ({_RESULTS}, busy)",
        "one core's time for an answer of the gateway",
        low=1e-9,
    ),
    Figure(
        "nearline_events",
        9300,
        "1/s",
        "measured",
        "9,300 events a second of CPU, histories of 100, python -m benchmarks.online.nearline"
        f" ({_RESULTS}, busy)",
        "events that one core of nearline takes in",
        low=1e-9,
    ),
    Figure(
        "lander_events",
        192_000,
        "1/s",
        "measured",
        f"192,000 events per CPU second, python -m benchmarks.online.lander ({_RESULTS}, busy)",
        "events that one core's time of the lander writes",
        low=1e-9,
    ),
    Figure(
        "history_event_bytes",
        15.9,
        "B",
        "measured",
        f"317 B for 20 events, python -m benchmarks.online.store ({_RESULTS})",
        "of a stored event: item, time, type, mark",
    ),
    Figure(
        "key_bytes",
        171,
        "B",
        "measured",
        f"488 B in Redis for a history of 317 B, python -m benchmarks.online.store ({_RESULTS})",
        "beside a user's value: key, version, hash entry",
    ),
)
"""Likewise, of the services beside the servers and of their store."""

VENDOR = (
    Figure(
        "node_operations",
        120_000,
        "1/s",
        "vendor",
        f"120,000 to 130,000 on two vCPUs, {_REDIS}",
        "operations of a store's node",
        low=1e-9,
    ),
    Figure(
        "node_gib",
        10.4,
        "GiB",
        "vendor",
        f"what may be written of 13 GB, redis-highmem-medium, {_REDIS}",
        "a node's room for data",
        low=1e-9,
    ),
)
"""What makers say of their own."""

RULES = (
    Figure("event_peak", 3, "× the mean", "rule", "", "events at the peak", low=1.0),
    Figure(
        "vcpu_speed",
        1,
        "cores",
        "rule",
        "a vCPU is half a core of a faster machine",
        "what a rented vCPU does, in cores of the machine that was measured",
        low=1e-9,
    ),
    Figure(
        "worker_scaling",
        0.5,
        "",
        "rule",
        "shuffles cross the network; nothing was measured beyond one machine",
        "what many workers keep of one machine's rate",
        low=1e-9,
        high=1.0,
    ),
    Figure("worker_vcpus", 8, "vCPUs", "rule", "", "of a Beam worker", low=1.0, varied=False),
    Figure("gib_per_vcpu", 4, "GiB", "rule", "n2-standard", "memory that comes with a vCPU"),
    Figure("data_hours", 4, "h", "rule", "", "that building a dataset may take", low=0.01),
    Figure(
        "goodput",
        0.9,
        "",
        "rule",
        "compiling, saves, restarts",
        "share of a run's hours that are steps",
        low=1e-9,
        high=1.0,
    ),
    Figure("export_hours", 0.5, "h", "rule", "", "export and gate, on one worker"),
    Figure(
        "utilisation",
        0.6,
        "",
        "rule",
        "queues grow without bound towards 1",
        "load of a replica or node at the peak",
        low=1e-9,
        high=1.0,
    ),
    Figure("replica_vcpus", 8, "vCPUs", "rule", "", "of a replica", low=1.0, varied=False),
    Figure(
        "versions_in_memory",
        2,
        "",
        "rule",
        "the new one loads while the old one answers",
        "versions of the model in a replica",
        low=1.0,
    ),
    Figure("server_gib", 1, "GiB", "rule", "", "memory of a replica beside the model"),
    Figure("feature_bytes", 0, "B", "rule", "none", "stored features of a user"),
    Figure("store_copies", 2, "", "rule", "one may be lost", "copies of the stores", 1.0),
    Figure("node_vcpus", 2, "vCPUs", "rule", "n2-highmem-2", "of a node", varied=False),
    Figure("node_machine_gib", 16, "GiB", "rule", "n2-highmem-2", "of a node", varied=False),
    Figure("reads_per_request", 1, "", "rule", "the user's entry", "reads of the store"),
    Figure("writes_per_event", 1, "", "rule", "the user's entry", "writes of the store"),
    Figure("message_bytes", 200, "B", "rule", "", "of an event in the queue"),
    Figure("subscribers", 2, "", "rule", "logs; online stores", "that each get all events"),
    Figure("partition_mib", 5, "MiB/s", "rule", "", "that a partition carries", low=1e-9),
    Figure("request_bytes", 500, "B", "rule", "", "of a request"),
    Figure("response_bytes", 1000, "B", "rule", "", "of an answer"),
    Figure(
        "egress_share",
        0,
        "",
        "rule",
        "the callers are in the region",
        "share of the answers that leave the cloud",
        high=1.0,
    ),
    Figure("stored_event_bytes", 30, "B", "rule", "compressed Parquet", "of an event in the logs"),
    Figure("dataset_event_bytes", 12, "B", "rule", "compressed", "of an event in a dataset"),
    Figure("datasets_kept", 3, "", "rule", "", "datasets"),
    Figure("checkpoints_kept", 3, "", "rule", "", "checkpoints"),
    Figure("models_kept", 5, "", "rule", "to roll back to", "published models"),
    Figure("object_mib", 128, "MiB", "rule", "", "of an object", low=1e-9),
)
"""Of no source but experience."""

NOT_COUNTED = (
    "people, support, taxes",
    "logging, monitoring, tracing",
    "the cluster's fee, NAT, DNS, disks of machines",
    "experiments beside the retraining, batch predictions",
    "a second region, transfers between regions",
    "discounts of a contract (--prices takes them)",
)
"""What a bill has and a plan does not."""
