"""All alerts, by family. Their expressions name what catalogue.py and the server's page have."""

from collections.abc import Mapping

from podway.launch.monitor.alerts import catalogue, serving
from podway.launch.monitor.alerts.alert import Alert, Thresholds
from podway.launch.monitor.alerts.catalogue import Metric

JOB = "podway-monitor"
"""Of `podway monitor`, in the scrape config that goes with the rules."""
_DAY, _MINUTE = 86_400, 60


def by_family(limits: Thresholds) -> Mapping[str, tuple[Alert, ...]]:
    """Family → its alerts."""
    return {
        "data": _data(limits),
        "training": _training(limits),
        "serving": serving.alerts(serving.ALL, limits) + serving.lists(limits),
        "live": _live(limits),
        "rollout": _rollout(limits),
        "loop": _loop(limits),
        "monitor": _monitor(limits),
    }


def every(limits: Thresholds) -> tuple[Alert, ...]:
    """All of them."""
    return tuple(alert for family in by_family(limits).values() for alert in family)


def _largest(metric: Metric, by: str, matchers: str = "") -> str:
    """Of a metric, whoever exported it: two monitors of one thing say the same."""
    return f"max by ({by}) ({metric.name}{f'{{{matchers}}}' if matchers else ''})"


def _age(metric: Metric, by: str, matchers: str = "") -> str:
    return f"time() - {_largest(metric, by, matchers)}"


def _data(limits: Thresholds) -> tuple[Alert, ...]:
    by = "dataset, version"
    rejected = f"sum by ({by}) (max by ({by}, reason) ({catalogue.DATA_REJECTED.name}))"
    return (
        Alert(
            "PodwayDataStale",
            f"{_age(catalogue.DATA_LAST_EVENT, by)} > {limits.stale_days * _DAY:g}",
            "0m",
            "warning",
            f"the latest event of the newest dataset {{{{ $labels.dataset }}}} is older than"
            f" {limits.stale_days:g} days",
        ),
        Alert(
            "PodwayDataRejects",
            f"{rejected} / {_largest(catalogue.DATA_ROWS, by)} > {limits.rejected_percent / 100:g}",
            "0m",
            "warning",
            f"more than {limits.rejected_percent:g} % of the raw rows of {{{{ $labels.dataset }}}}"
            " were rejected",
        ),
        Alert(
            "PodwayDataDrift",
            f"{_largest(catalogue.DATA_DRIFT, f'{by}, split, feature')} == 2",
            "0m",
            "warning",
            "{{ $labels.feature }} of the newest dataset {{ $labels.dataset }} has moved from the"
            " dataset before it",
        ),
    )


def _training(limits: Thresholds) -> tuple[Alert, ...]:
    by, who = "experiment, run", "the run {{ $labels.run }} of {{ $labels.experiment }}"
    trains = _largest(catalogue.TRAINING_STATE, by, 'state="training"') + " == 1"
    minutes = limits.standing_minutes
    return (
        Alert(
            "PodwayTrainingFailed",
            _largest(catalogue.TRAINING_STATE, by, 'state="failed"') + " == 1",
            "0m",
            "warning",
            f"{who} has failed",
        ),
        Alert(
            "PodwayTrainingStands",
            f"{_age(catalogue.TRAINING_SIGN, by)} > {minutes * _MINUTE:g} and {trains}",
            "0m",
            "critical",
            f"{who} is in training, and has written nothing for {minutes:g} minutes",
        ),
        Alert(
            "PodwayTrainingGoodput",
            f"{_largest(catalogue.TRAINING_GOODPUT, by)} < {limits.goodput_percent:g} and {trains}",
            "1h",
            "warning",
            f"less than {limits.goodput_percent:g} % of the time of {who} goes into its steps",
        ),
        Alert(
            "PodwayTrainingInput",
            f"{_largest(catalogue.TRAINING_STALL, by)} > {limits.stall_percent:g} and {trains}",
            "15m",
            "warning",
            f"{who} waits for its input more than {limits.stall_percent:g} % of the time",
        ),
    )


def _live(limits: Thresholds) -> tuple[Alert, ...]:
    by, who = "model, version", "{{ $labels.model }} version {{ $labels.version }}"
    enough = f"{_largest(catalogue.LIVE_ROWS, by)} >= {limits.rows}"
    return (
        Alert(
            "PodwayLiveDrift",
            f"{_largest(catalogue.LIVE_DRIFT, f'{by}, feature')} == 2",
            "0m",
            "warning",
            f"{{{{ $labels.feature }}}} of the requests to {who} is not what it has learned from",
        ),
        Alert(
            "PodwayLiveUnknown",
            f"{_largest(catalogue.LIVE_UNKNOWN, f'{by}, feature')}"
            f" > {limits.unknown_percent / 100:g} and on ({by}) {enough}",
            "0m",
            "warning",
            f"{who} does not know more than {limits.unknown_percent:g} % of the values of"
            " {{ $labels.feature }}",
        ),
        Alert(
            "PodwayLiveFallback",
            f"{_largest(catalogue.LIVE_FALLBACK, by)} > {limits.fallback_percent / 100:g}"
            f" and {enough}",
            "0m",
            "warning",
            f"{who} knows no item of more than {limits.fallback_percent:g} % of the requests",
        ),
        Alert(
            "PodwayLivePopular",
            f"{_largest(catalogue.LIVE_POPULAR, by)} > {limits.popular_percent / 100:g}"
            f" and {enough}",
            "0m",
            "warning",
            f"more than {limits.popular_percent:g} % of what {who} recommends is the most popular"
            " hundredth of the catalogue",
        ),
    )


def _rollout(limits: Thresholds) -> tuple[Alert, ...]:
    waits = _largest(catalogue.ROLLOUT_PHASE, "model", 'phase=~"loading|promoting|returning"')
    minutes = limits.standing_minutes
    return (
        Alert(
            "PodwayRolloutReturned",
            _largest(catalogue.ROLLOUT_PHASE, "model", 'phase="returned"') + " == 1",
            "0m",
            "warning",
            "the last rollout of {{ $labels.model }} went back to the version before it",
        ),
        Alert(
            "PodwayRolloutStands",
            f"{_age(catalogue.ROLLOUT_SINCE, 'model')} > {minutes * _MINUTE:g} and {waits} == 1",
            "0m",
            "critical",
            "the rollout of {{ $labels.model }} has waited for servers for"
            f" {minutes:g} minutes",
        ),
    )


def _loop(limits: Thresholds) -> tuple[Alert, ...]:
    ended = _age(catalogue.LOOP_ENDED, "experiment", 'outcome=~"served|unchanged"')
    return (
        Alert(
            "PodwayLoopStopped",
            _largest(catalogue.LOOP_LAST, "experiment", 'outcome="stopped"') + " == 1",
            "0m",
            "warning",
            "a check stopped the last cycle of {{ $labels.experiment }}; the version before it"
            " serves on",
        ),
        Alert(
            "PodwayLoopSilent",
            f"{ended} > {limits.loop_days * _DAY:g}",
            "0m",
            "warning",
            "continuous training of {{ $labels.experiment }} has neither served a model nor found"
            f" nothing new for {limits.loop_days:g} days",
        ),
    )


def _monitor(limits: Thresholds) -> tuple[Alert, ...]:
    return (
        Alert(
            "PodwayMonitorDown",
            f'up{{job="{JOB}"}} == 0',
            "5m",
            "warning",
            "the monitor at {{ $labels.instance }} does not answer: nobody watches what it watched",
        ),
        Alert(
            "PodwayMonitorStale",
            f"{_age(catalogue.MONITOR_PASS, 'subject')} > {limits.monitor_minutes * _MINUTE:g}",
            "0m",
            "warning",
            f"the monitor of {{{{ $labels.subject }}}} has ended no pass for"
            f" {limits.monitor_minutes:g} minutes",
        ),
        Alert(
            "PodwayMonitorProblem",
            _largest(catalogue.MONITOR_PROBLEM, "subject, part") + " == 1",
            "10m",
            "warning",
            "the monitor of {{ $labels.subject }} cannot read its {{ $labels.part }}",
        ),
    )
