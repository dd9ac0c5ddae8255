"""The files that a Prometheus and an Alertmanager read: rules, routes, and an example of a config.

One definition of the alerts (families.py), rendered; nothing here is written by hand a second time.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import yaml
from etils import epath

from podway.framework import artifact
from podway.launch.monitor.alerts import dashboard, families, serving
from podway.launch.monitor.alerts.alert import RUNBOOKS, Thresholds
from podway.launch.monitor.alerts.receivers import Places, Receivers

RULES, ROUTES, SCRAPES, DASHBOARD = (
    "podway.rules.yml",
    "alertmanager.yml",
    "prometheus.yml",
    "podway.dashboard.json",
)
SERVING_PATH = "/monitoring/prometheus/metrics"


def rules(limits: Thresholds, runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """The rule file: a group for each family."""
    return {
        "groups": [
            {
                "name": f"podway.{family}",
                "interval": "30s",
                "rules": [each.rule(runbooks, family=family) for each in found],
            }
            for family, found in families.by_family(limits).items()
        ]
    }


def routes(receivers: Receivers) -> dict[str, Any]:
    """The Alertmanager's config."""
    return {
        "route": {
            "receiver": "ticket",
            "group_by": ["alertname", "family", "model", "model_name", "dataset", "experiment"],
            "group_wait": "10s",
            "group_interval": "1m",
            "repeat_interval": "12h",
            "routes": [
                {"matchers": ['severity="critical"'], "receiver": "page", "repeat_interval": "1h"}
            ],
        },
        "inhibit_rules": [
            {  # who fails is slow as well: one of them is enough
                "source_matchers": ['alertname="PodwayServingFails"'],
                "target_matchers": ['alertname="PodwayServingSlow"'],
                "equal": ["model_name"],
            },
        ],
        "receivers": [
            {"name": name, "webhook_configs": [{"url": url, "send_resolved": True}]}
            for name, url in dataclasses.asdict(receivers).items()
        ],
    }


def scrapes(places: Places) -> dict[str, Any]:
    """An example of Prometheus' config, with the names of jobs that the rules speak of."""
    return {
        "global": {"scrape_interval": "15s", "evaluation_interval": "30s"},
        "rule_files": [RULES],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [places.alertmanager]}]}]},
        "scrape_configs": [
            {
                "job_name": serving.JOB,
                "metrics_path": SERVING_PATH,
                "static_configs": [{"targets": list(places.servers)}],
            },
            {
                "job_name": families.JOB,
                "static_configs": [{"targets": list(places.monitors)}],
            },
        ],
    }


def files(
    limits: Thresholds, runbooks: str, receivers: Receivers, places: Places
) -> Mapping[str, str]:
    """Name → text of all of them."""
    return {
        RULES: text(rules(limits, runbooks)),
        ROUTES: text(routes(receivers)),
        SCRAPES: text(scrapes(places)),
        DASHBOARD: dashboard.text(),
    }


def write(folder: epath.PathLike, found: Mapping[str, str]) -> list[epath.Path]:
    """Writes files into a folder, each in one step."""
    home = epath.Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    for name, content in found.items():
        artifact.write_atomically(home / name, content)
    return [home / name for name in found]


def text(content: Mapping[str, Any]) -> str:
    """As YAML."""
    return yaml.safe_dump(
        content, sort_keys=False, width=float("inf"), allow_unicode=True, default_flow_style=False
    )
