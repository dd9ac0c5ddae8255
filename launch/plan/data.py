"""Building the dataset: workers and their hours."""

from podway.launch.plan.figure import DAY, HOUR, MONTH_HOURS, Values, whole
from podway.launch.plan.line import Line

SECTION = "data"


def rows(v: Values) -> float:
    """Events that a dataset is built of."""
    return v["events_per_second"] * DAY * v["training_days"]


def builds(v: Values) -> float:
    """Datasets, and models, in a month."""
    return MONTH_HOURS / v["retrain_every_hours"]


def core_hours(v: Values) -> float:
    """Of one build."""
    rate = v["rows_per_core_second"] * v["vcpu_speed"] * v["worker_scaling"]
    return rows(v) / rate / HOUR


def lines(v: Values) -> tuple[Line, ...]:
    """What building the datasets of a month takes."""
    hours = core_hours(v)
    workers = whole(hours / v["data_hours"] / v["worker_vcpus"])
    month = hours * builds(v)
    return (
        Line(SECTION, "rows of a build", rows(v), "rows", "events_per_second × training_days"),
        Line(SECTION, "builds a month", builds(v), "builds", "month / retrain_every_hours"),
        Line(
            SECTION,
            "workers, for data_hours",
            workers,
            "machines",
            "rows / (rows_per_core_second × vcpu_speed × worker_scaling) / data_hours"
            " / worker_vcpus",
        ),
        Line(SECTION, "workers' vCPUs", month, "vCPU h", "of a build × builds", "worker_vcpu_hour"),
        Line(
            SECTION,
            "workers' memory",
            month * v["gib_per_vcpu"],
            "GiB h",
            "vCPU h × gib_per_vcpu",
            "worker_gib_hour",
        ),
    )
