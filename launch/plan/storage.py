"""Objects: logs, datasets, checkpoints, models."""

from podway.launch.plan import data
from podway.launch.plan.figure import DAY, GIB, MIB, MONTH, Values
from podway.launch.plan.line import Line

SECTION = "storage"


def lines(v: Values) -> tuple[Line, ...]:
    """What lies in the object store, and how often it is read and written."""
    logs = v["events_per_second"] * DAY * v["log_days"] * v["stored_event_bytes"]
    dataset = data.rows(v) * v["dataset_event_bytes"]
    landed = v["events_per_second"] * MONTH * v["stored_event_bytes"]
    read = data.rows(v) * v["stored_event_bytes"] + dataset * v["epochs"]
    objects = v["object_mib"] * MIB * 1e3
    kept = {
        "logs of events": (logs, "events × log_days × stored_event_bytes"),
        "datasets": (
            dataset * v["datasets_kept"],
            "rows × dataset_event_bytes × datasets_kept",
        ),
        "checkpoints": (
            v["state_bytes"] * v["checkpoints_kept"],
            "state_bytes × checkpoints_kept",
        ),
        "models": (v["model_bytes"] * v["models_kept"], "model_bytes × models_kept"),
    }
    return (
        *(
            Line(SECTION, name, size / GIB, "GiB", how, "storage_gib_month")
            for name, (size, how) in kept.items()
        ),
        Line(
            SECTION,
            "writes",
            (landed + dataset * data.builds(v)) / objects,
            "thousands",
            "(events landed, datasets) / object_mib",
            "writes_thousand",
        ),
        Line(
            SECTION,
            "reads",
            read * data.builds(v) / objects,
            "thousands",
            "(rows of a build, datasets × epochs) × builds / object_mib",
            "reads_thousand",
        ),
    )
