"""The part of Grafana's dashboard JSON that we use, as typed parts: rows of panels of queries.

The model is Grafana's (schema version 39, Grafana 10.1 and later); the generated SDK brings some
thousand classes for the dozen fields that stand here.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, Literal

SCHEMA = 39
WIDTH = 24
"""Columns of a dashboard."""
SOURCE = {"type": "prometheus", "uid": "${source}"}
"""The Prometheus that a variable of the dashboard chooses."""


@dataclasses.dataclass(frozen=True)
class Query:
    """A query of a panel.

    Attributes:
      expression: of PromQL.
      legend: name of each of its series, a template of Grafana's.
    """

    expression: str
    legend: str = ""


@dataclasses.dataclass(frozen=True)
class Panel:
    """A panel.

    Attributes:
      title: what it shows.
      queries: of which it shows the series.
      unit: Grafana's name of the values' unit.
      kind: lines over time, or the last value of each series.
      limits: values from which on it is yellow, and red; (): neither.
      told: what its "i" says.
      width: of WIDTH columns.
    """

    title: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: Literal["timeseries", "stat"] = "timeseries"
    limits: tuple[float, float] | tuple[()] = ()
    told: str = ""
    width: int = 8


@dataclasses.dataclass(frozen=True)
class Row:
    """Panels under a headline."""

    title: str
    panels: Sequence[Panel]


@dataclasses.dataclass(frozen=True)
class Dashboard:
    """A dashboard: `uid` is its name in addresses."""

    uid: str
    title: str
    told: str
    rows: Sequence[Row]

    def queries(self) -> list[str]:
        """All expressions."""
        return [q.expression for row in self.rows for panel in row.panels for q in panel.queries]

    def json(self) -> dict[str, Any]:
        """As Grafana imports it."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.told,
            "tags": ["podway"],
            "schemaVersion": SCHEMA,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "1m",
            "time": {"from": "now-24h", "to": "now"},
            "templating": {
                "list": [
                    {
                        "name": "source",
                        "label": "Prometheus",
                        "type": "datasource",
                        "query": "prometheus",
                    }
                ]
            },
            "panels": _placed(self.rows),
        }

    def text(self) -> str:
        """The file."""
        return json.dumps(self.json(), indent=1, ensure_ascii=False) + "\n"


_HEIGHT = 8


def _placed(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """All panels from the left to the right, and from the top down."""
    made: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        place = {"h": 1, "w": WIDTH, "x": 0, "y": top}
        made.append({"type": "row", "title": row.title, "gridPos": place, "collapsed": False})
        top, left = top + 1, 0
        for panel in row.panels:
            if left + panel.width > WIDTH:
                top, left = top + _HEIGHT, 0
            place = {"h": _HEIGHT, "w": panel.width, "x": left, "y": top}
            made.append(_panel(panel) | {"gridPos": place})
            left += panel.width
        top += _HEIGHT
    return [panel | {"id": number} for number, panel in enumerate(made, 1)]


def _panel(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    for color, value in zip(("yellow", "red"), panel.limits, strict=False):
        steps.append({"color": color, "value": value})
    options: dict[str, Any] = {
        "timeseries": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "stat": {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "textMode": "auto",
        },
    }[panel.kind]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.told,
        "datasource": SOURCE,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend or "__auto",
                "editorMode": "code",
                "range": True,
            }
            for number, query in enumerate(panel.queries)
        ],
    }
