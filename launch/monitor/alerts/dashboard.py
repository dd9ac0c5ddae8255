"""The dashboard: what one looks at after an alert, and before there is one."""

from podway.launch.monitor.alerts import catalogue, serving
from podway.launch.monitor.alerts.catalogue import Metric
from podway.launch.monitor.alerts.grafana import Dashboard, Panel, Query, Row

_SHARE, _SECONDS, _MICROS = "percentunit", "s", "µs"


def _of(metric: Metric, *by: str, matchers: str = "") -> str:
    """The largest of each, whoever exported it."""
    inside = f"{{{matchers}}}" if matchers else ""
    return f"max by ({', '.join(by)}) ({metric.name}{inside})"


def _one(title: str, metric: Metric, *by: str, unit: str = "short", **more) -> Panel:
    legend = " ".join(f"{{{{{label}}}}}" for label in by)
    return Panel(title, [Query(_of(metric, *by), legend)], unit, told=metric.help, **more)


def _age(title: str, metric: Metric, *by: str) -> Panel:
    legend = " ".join(f"{{{{{label}}}}}" for label in by)
    query = Query(f"time() - {_of(metric, *by)}", legend)
    return Panel(title, [query], _SECONDS, "stat", told=metric.help)


def _serving() -> Row:
    by, version = "by (model_name)", "by (model_name, model_version)"
    name, versions = "{{model_name}}", "{{model_name}} {{model_version}}"
    requests = f"sum {by} (rate({serving.REQUESTS}[5m]))"
    failed = f'sum {by} (rate({serving.REQUESTS}{{status!~"{serving.MISTAKES}"}}[5m]))'
    slow = f'sum by (model_name, le) (rate({serving.LATENCY}_bucket{{API!=""}}[5m]))'
    scores = "sum by (model_name, model_version, le) (rate(podway_serving_best_score_bucket[5m]))"
    lists = f"sum {version} (rate({serving.RECOMMENDED}[5m]))"
    return Row(
        "Serving",
        [
            Panel("Requests", [Query(requests, name)], "reqps"),
            Panel(
                "Requests that fail",
                [Query(f"({failed} or 0 * {requests}) / {requests}", name)],
                _SHARE,
            ),
            Panel(
                "Time in the server",
                [
                    Query(f"histogram_quantile({share}, {slow})", f"{name} {share}")
                    for share in (0.5, 0.99)
                ],
                _MICROS,
            ),
            Panel(
                "Lists without an item, and with scores that are not numbers",
                [
                    Query(f"sum {version} (rate({metric}[5m])) / {lists}", f"{versions} {what}")
                    for metric, what in ((serving.EMPTY, "empty"), (serving.INVALID, "invalid"))
                ],
                _SHARE,
            ),
            Panel(
                "Best scores",
                [
                    Query(f"histogram_quantile({share}, {scores})", f"{versions} {share}")
                    for share in (0.1, 0.5, 0.9)
                ],
            ),
            Panel(
                "Servers",
                [Query(f'up{{job="{serving.JOB}"}}', "{{instance}}")],
                kind="stat",
                told="1 where a server answers.",
            ),
        ],
    )


def _live() -> Row:
    of = ("model", "version")
    return Row(
        "What requests bring, and get",
        [
            _one("Inputs against training: PSI", catalogue.LIVE_PSI, *of, "feature"),
            _one("Unknown values", catalogue.LIVE_UNKNOWN, *of, "feature", unit=_SHARE),
            _one("Without one known item", catalogue.LIVE_FALLBACK, *of, unit=_SHARE),
            _one("Popular items", catalogue.LIVE_POPULAR, *of, unit=_SHARE),
            _one("Coverage of the catalogue", catalogue.LIVE_COVERAGE, *of, unit=_SHARE),
            _one("Best scores, quantiles", catalogue.LIVE_SCORE, *of, "quantile"),
        ],
    )


def _data() -> Row:
    of = ("dataset", "version")
    reasons = f"max by ({', '.join(of)}, reason) ({catalogue.DATA_REJECTED.name})"
    return Row(
        "Data",
        [
            _age("Age of the latest event", catalogue.DATA_LAST_EVENT, *of),
            _one("Rows", catalogue.DATA_ROWS, *of),
            Panel("Rejected rows", [Query(reasons, "{{dataset}} {{reason}}")]),
            _one("Against the dataset before: PSI", catalogue.DATA_PSI, *of, "split", "feature"),
            _one("Examples", catalogue.DATA_EXAMPLES, *of, "split"),
            _age("Age of the newest dataset", catalogue.DATA_BUILT, *of),
        ],
    )


def _training() -> Row:
    of = ("experiment", "run")
    return Row(
        "Training",
        [
            _one("Loss", catalogue.TRAINING_LOSS, *of),
            _one("Seconds a step", catalogue.TRAINING_STEP_SECONDS, *of, unit=_SECONDS),
            _one("Goodput", catalogue.TRAINING_GOODPUT, *of, unit="percent"),
            _one("Waiting for input", catalogue.TRAINING_STALL, *of, unit="percent"),
            _one("Validation", catalogue.TRAINING_VALIDATION, *of, "metric"),
            _age("Last sign of life", catalogue.TRAINING_SIGN, *of),
        ],
    )


def _operation() -> Row:
    phases = f"{catalogue.ROLLOUT_PHASE.name} == 1"
    return Row(
        "Rollouts, continuous training, and the monitor itself",
        [
            Panel("Phase of the rollout", [Query(phases, "{{model}} {{phase}}")], kind="stat"),
            _one("Share of the new version", catalogue.ROLLOUT_SHARE, "model", unit=_SHARE),
            _one("Cycles", catalogue.LOOP_CYCLES, "experiment", "outcome"),
            _age("Since a cycle ended", catalogue.LOOP_ENDED, "experiment", "outcome"),
            _age("Since the monitor's last pass", catalogue.MONITOR_PASS, "subject"),
            _one("What it cannot read", catalogue.MONITOR_PROBLEM, "subject", "part"),
        ],
    )


def dashboard() -> Dashboard:
    """The dashboard."""
    return Dashboard(
        uid="podway",
        title="Podway",
        told="Servers, what requests bring, data, training, and what brings models to users.",
        rows=[_serving(), _live(), _data(), _training(), _operation()],
    )


def text() -> str:
    """Its file."""
    return dashboard().text()
