"""Training, export and gate: steps, hours, chips."""

from podway.launch.plan import data
from podway.launch.plan.figure import HOUR, MONTH_HOURS, Values, whole
from podway.launch.plan.line import Line

SECTION = "training"


def steps(v: Values) -> float:
    """Of one training run. An example is a user (`sequences` is 1) or an event (0)."""
    examples = v["sequences"] * v["users"] + (1 - v["sequences"]) * data.rows(v)
    return whole(examples * v["epochs"] / v["batch_size"])


def hours(v: Values) -> float:
    """That one training run holds its chips."""
    return steps(v) * v["step_seconds"] * v["step_slowdown"] / HOUR / v["goodput"]


def model_age(v: Values) -> float:
    """Hours since its last event that the oldest model which still answers has."""
    chain = v["data_hours"] + hours(v) + v["export_hours"]
    return v["retrain_every_hours"] + chain


def paid_hours(v: Values) -> float:
    """Of a month, for each chip: those of the runs, or all where chips are reserved."""
    return MONTH_HOURS if v["chips_reserved"] else hours(v) * data.builds(v)


def lines(v: Values) -> tuple[Line, ...]:
    """What the training runs of a month take."""
    chip_hours = v["chips"] * paid_hours(v)
    vcpu_hours = v["export_hours"] * v["worker_vcpus"] * data.builds(v)
    return (
        Line(SECTION, "steps of a run", steps(v), "steps", "examples × epochs / batch_size"),
        Line(
            SECTION,
            "hours of a run",
            hours(v),
            "h",
            "steps × step_seconds × step_slowdown / goodput",
        ),
        Line(SECTION, "chips", v["chips"], "chips", "--topology × --slices"),
        Line(
            SECTION,
            "oldest model that answers",
            model_age(v),
            "h",
            "retrain_every_hours + data_hours + hours of a run + export_hours",
        ),
        Line(
            SECTION,
            "chips' hours",
            chip_hours,
            "chip h",
            "chips × hours of a run × builds, or × month where they are reserved",
            "chip_hour",
        ),
        Line(
            "export",
            "export and gate, vCPUs",
            vcpu_hours,
            "vCPU h",
            "export_hours × worker_vcpus × builds",
            "worker_vcpu_hour",
        ),
        Line(
            "export",
            "export and gate, memory",
            vcpu_hours * v["gib_per_vcpu"],
            "GiB h",
            "vCPU h × gib_per_vcpu",
            "worker_gib_hour",
        ),
    )
