"""Every metric that `podway monitor` exports: its name, labels and meaning, in one place.

What the server exports by itself stands in export/server/metrics.py.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence


@dataclasses.dataclass(frozen=True)
class Metric:
    """A gauge.

    Attributes:
      name: as Prometheus knows it.
      labels: names of its labels.
      help: what it says, in a sentence.
    """

    name: str
    labels: tuple[str, ...]
    help: str

    @property
    def family(self) -> str:
        """What it is about: "data", "training", "live", "rollout", "loop" or "monitor"."""
        return self.name.split("_")[1]


@dataclasses.dataclass(frozen=True)
class Sample:
    """A value of a metric.

    Attributes:
      metric: which.
      values: of its labels, in their order.
      value: the number.
    """

    metric: Metric
    values: tuple[str, ...]
    value: float


Samples = list[Sample]

_DATASET = ("dataset", "version")
DATA_ROWS = Metric("podway_data_rows", _DATASET, "Rows of the newest dataset's raw files.")
DATA_KEPT = Metric("podway_data_kept_rows", _DATASET, "Rows that the newest dataset kept.")
DATA_REJECTED = Metric(
    "podway_data_rejected_rows", (*_DATASET, "reason"), "Rows that were rejected, by reason."
)
DATA_FILTERED = Metric(
    "podway_data_filtered_rows", (*_DATASET, "rule"), "Rows that a rule of the config left out."
)
DATA_EXAMPLES = Metric("podway_data_examples", (*_DATASET, "split"), "Examples of a split.")
DATA_BUILT = Metric(
    "podway_data_built_timestamp_seconds", _DATASET, "When the newest dataset was built."
)
DATA_LAST_EVENT = Metric(
    "podway_data_last_event_timestamp_seconds", _DATASET, "Time of the latest event in it."
)
_FEATURE = (*_DATASET, "split", "feature")
DATA_PSI = Metric(
    "podway_data_psi",
    _FEATURE,
    "Population stability index of a feature, the newest dataset against the one before it.",
)
DATA_JS = Metric("podway_data_js", _FEATURE, "Jensen-Shannon distance, likewise.")
DATA_DRIFT = Metric(
    "podway_data_drift",
    _FEATURE,
    "The verdict on a feature: 0 none, 1 warning, 2 drift; absent where there are too few rows.",
)
DATA_UNJUDGED = Metric(
    "podway_data_unjudged_features", _DATASET, "Features that had too few rows for a verdict."
)

_RUN = ("experiment", "run")
TRAINING_STATE = Metric(
    "podway_training_state",
    (*_RUN, "state"),
    "1 for what a run is: finished, training, failed or stopped; 0 for the others.",
)
TRAINING_STEP = Metric("podway_training_step", _RUN, "The last step that was recorded.")
TRAINING_STEPS = Metric("podway_training_planned_steps", _RUN, "Steps that the run shall do.")
TRAINING_LOSS = Metric(
    "podway_training_loss", _RUN, "Loss of that step; NaN where it was no finite number."
)
TRAINING_RATE = Metric(
    "podway_training_examples_per_second", _RUN, "Examples a second, at that step."
)
TRAINING_STEP_SECONDS = Metric("podway_training_step_seconds", _RUN, "Seconds a step, likewise.")
TRAINING_STALL = Metric(
    "podway_training_input_stall_percent", _RUN, "Share of the time in which a step waited for it."
)
TRAINING_MFU = Metric("podway_training_mfu_percent", _RUN, "Share of the devices' peak.")
TRAINING_GOODPUT = Metric(
    "podway_training_goodput_percent", _RUN, "Share of the run's life that went into its steps."
)
TRAINING_SECONDS = Metric(
    "podway_training_phase_seconds", (*_RUN, "phase"), "Where the run's time went."
)
TRAINING_SESSIONS = Metric("podway_training_sessions", _RUN, "How often it was started.")
TRAINING_VALIDATION = Metric(
    "podway_training_validation", (*_RUN, "metric"), "A metric on the validation split, the last."
)
TRAINING_SIGN = Metric(
    "podway_training_sign_timestamp_seconds", _RUN, "When the run gave its last sign of life."
)

_MODEL = ("model", "version")
LIVE_ROWS = Metric("podway_live_rows", _MODEL, "Rows of logged requests in the window.")
LIVE_BEGIN = Metric(
    "podway_live_begin_timestamp_seconds", _MODEL, "Time of the window's first logged request."
)
LIVE_END = Metric(
    "podway_live_end_timestamp_seconds", _MODEL, "Time of the window's last logged request."
)
_LIVE_FEATURE = (*_MODEL, "feature")
LIVE_PSI = Metric(
    "podway_live_psi",
    _LIVE_FEATURE,
    "Population stability index of an input against the dataset that the version learned from.",
)
LIVE_JS = Metric("podway_live_js", _LIVE_FEATURE, "Jensen-Shannon distance, likewise.")
LIVE_DRIFT = Metric(
    "podway_live_drift",
    _LIVE_FEATURE,
    "The verdict on an input: 0 none, 1 warning, 2 drift; absent where there are too few rows.",
)
LIVE_UNJUDGED = Metric(
    "podway_live_unjudged_features", _MODEL, "Inputs that had too few rows for a verdict."
)
LIVE_UNKNOWN = Metric(
    "podway_live_unknown_share",
    _LIVE_FEATURE,
    "Share of an input's values that the version's vocabulary lacks.",
)
LIVE_FALLBACK = Metric(
    "podway_live_fallback_share",
    _MODEL,
    "Share of the rows without one known item: their answer is what everybody new gets.",
)
LIVE_EMPTY = Metric("podway_live_empty_share", _MODEL, "Share of the lists without an item.")
LIVE_INVALID = Metric(
    "podway_live_invalid_share", _MODEL, "Share of the lists with a score that is not a number."
)
LIVE_POPULAR = Metric(
    "podway_live_popular_share",
    _MODEL,
    "Share of the recommended items that are among the most popular hundredth of the catalogue.",
)
LIVE_COVERAGE = Metric(
    "podway_live_coverage", _MODEL, "Share of the catalogue that was recommended in the window."
)
LIVE_SCORE = Metric(
    "podway_live_best_score", (*_MODEL, "quantile"), "Quantiles of the lists' best scores."
)

ROLLOUT_PHASE = Metric(
    "podway_rollout_phase",
    ("model", "phase"),
    "1 for the phase of the model's last rollout, 0 for the others.",
)
ROLLOUT_VERSION = Metric(
    "podway_rollout_version",
    ("model", "role"),
    "Version that is `new`, and the one before: `good`.",
)
ROLLOUT_SHARE = Metric("podway_rollout_share", ("model",), "Share of the users with the new one.")
ROLLOUT_SINCE = Metric(
    "podway_rollout_since_timestamp_seconds", ("model",), "When the rollout came to its phase."
)

LOOP_CYCLES = Metric(
    "podway_loop_cycles",
    ("experiment", "outcome"),
    "Cycles of continuous training, by outcome; `under way` is the one that is not over.",
)
LOOP_LAST = Metric(
    "podway_loop_last_outcome", ("experiment", "outcome"), "1 for the outcome of the last cycle."
)
LOOP_ENDED = Metric(
    "podway_loop_ended_timestamp_seconds",
    ("experiment", "outcome"),
    "When a cycle had this outcome last.",
)
LOOP_ASIDE = Metric(
    "podway_loop_files_set_aside", ("experiment",), "Raw files that failed a check, and wait."
)

MONITOR_PASS = Metric(
    "podway_monitor_pass_timestamp_seconds", ("subject",), "When the last pass over all ended."
)
MONITOR_SECONDS = Metric("podway_monitor_pass_seconds", ("subject",), "How long it took.")
MONITOR_PROBLEM = Metric(
    "podway_monitor_problem",
    ("subject", "part"),
    "1 where a part could not be read in the last pass: the monitor's output says why.",
)

METRICS: tuple[Metric, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric)
)
BY_NAME = {metric.name: metric for metric in METRICS}


def one(metric: Metric, values: Sequence[object], value: float | int | None) -> Samples:
    """A sample; none where there is no value. One that is not a number is one, too."""
    if value is None:
        return []
    assert len(values) == len(metric.labels), metric.name
    return [Sample(metric, tuple(map(str, values)), float(value))]


def finite(value: object) -> float | None:
    """A number, or None for whatever is none, or not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def chosen(metric: Metric, values: Sequence[object], of: Iterable[str], is_now: str) -> Samples:
    """A metric whose last label says in which of some states something is."""
    return [
        sample for state in of for sample in one(metric, (*values, state), float(state == is_now))
    ]
