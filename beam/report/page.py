"""The statistics page: what a dataset holds, in one HTML file that opens from a disk.

The plots are SVG; a short script filters and sorts the features, also by the address
(#find=price&kind=numbers&sort=missing). Without it all is shown.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from etils import epath

from podway.beam.report import histogram, tables
from podway.beam.report.tables import Splits, share
from podway.beam.statistics import drift
from podway.framework.config.limits import Limits
from podway.framework.page import templates, text
from podway.framework.schema.schema import Feature, Schema

_HERE = pathlib.Path(__file__).parent
_LIMITS = Limits()


@dataclasses.dataclass(frozen=True)
class Card:
    """A feature's.

    Attributes:
      name: of the feature.
      kind: "ids", "numbers" or "times".
      order: its place in the schema.
      rank: what the page can be sorted by, and where the feature stands.
      tags: what the schema says of it.
      body: the rest.
    """

    name: str
    kind: str
    order: int
    rank: Mapping[str, str]
    tags: list[str]
    body: tables.Body


def write(
    path: epath.PathLike,
    title: str,
    details: Mapping[str, Any],
    schema: Schema,
    statistics: Mapping[str, Mapping[str, Any]],
) -> None:
    """Writes statistics.html; the arguments are those of `page`."""
    epath.Path(path).write_text(page(title, details, schema, statistics))


def page(
    title: str,
    details: Mapping[str, Any],
    schema: Schema,
    statistics: Mapping[str, Mapping[str, Any]],
) -> str:
    """The page as HTML.

    Args:
      title: what the dataset is called.
      details: of its manifest: {"report": …, "splits": …} (see summary.py).
      schema: of its features.
      statistics: split → feature → statistics, as statistics.json has them.
    """
    report = details.get("report", {})
    clock = report.get("early_test_targets", 0) is not None
    cards = []
    for order, feature in enumerate(schema.features):
        told = {split: parts[feature.name] for split, parts in statistics.items()
                if feature.name in parts}  # fmt: skip
        if told:
            cards.append(_card(feature, order, told, clock))
    return templates.render(
        "statistics.html.j2",
        _HERE,
        script=templates.source(_HERE / "statistics.js"),
        title=title,
        raw_rows=f"{report['rows']:,} raw rows" if report.get("rows") else "",
        rows=_rows(report) if report.get("rows") else [],
        said=_said(report),
        tiles=_tiles(report, details.get("splits", {})),
        splits=[(histogram.colour(split), split, "") for split in statistics],
        cards=cards,
        warn=tables.WARN,
        bad=tables.BAD,
        limits=_LIMITS,
    )


# ------------------------------------------------------------------------------------------- head


def _tiles(report: Mapping[str, Any], splits: Mapping[str, Any]) -> list[tuple[str, str]]:
    tiles = [(f"{split} examples", f"{part['examples']:,}") for split, part in splits.items()]
    tiles += [
        (name, f"{report[name]:,}") for name in ("users", "items") if report.get(name) is not None
    ]
    if report.get("density") is not None:
        tiles.append(("density", f"{report['density']:.3%}"))
    for of, (_, part) in report.get("largest", {}).items():
        tiles.append((f"largest {of}", f"{part:.2%}"))
    if report.get("first") is not None:
        show = text.clock(report["last"] - report["first"])
        tiles += [(f"{end} event", show(report[end])) for end in ("first", "last")]
    return tiles


def _said(report: Mapping[str, Any]) -> list[str]:
    """What was converted, and what looks like one thing written in several ways."""
    said = [f"{count:,} rows: {notice}" for notice, count in report.get("notices", {}).items()]
    for of, (value, part) in report.get("largest", {}).items():
        said.append(f"{part:.2%} of the train events are of the {of} {value!r}")
    for name, alike in report.get("alike", {}).items():
        ways = " or ".join(map(repr, alike["examples"][0]))
        said.append(f"{alike['values']:,} values of {name} look like {alike['groups']:,}: {ways}")
    for name, values in report.get("placeholders", {}).items():
        for value, count in values.items():
            said.append(f"{count:,} train events are of the {name} {value!r}: a missing one?")
    return said


def _rows(report: Mapping[str, Any]) -> list[tuple[str, str, float, str]]:
    """What became of the raw rows: class of the colour, what it was, share and count."""
    parts = [("c0", "kept", report["kept"])]
    parts += [("c1", f"filtered: {rule}", count) for rule, count in report["filtered"].items()]
    parts += [("alarm", f"rejected: {why}", count) for why, count in report["rejected"].items()]
    return [
        (colour, name, count / report["rows"], f"{count:,}")
        for colour, name, count in parts
        if count
    ]


# ---------------------------------------------------------------------------------------- feature


def _card(feature: Feature, order: int, splits: Splits, clock: bool) -> Card:
    first = next(iter(splits.values()))
    kind = {"ids": "ids", "time": "times"}.get(first["kind"], "numbers")
    distances = _distances(feature, splits)
    rank = {
        "missing": max(share(told, "missing") for told in splits.values()),
        "unknown": max(share(told, "out_of_vocabulary") for told in splits.values()),
        "distinct": max(told["distinct"] for told in splits.values()),
        "drift": max((one.psi for one in distances.values() if one.psi == one.psi), default=0.0),
    }
    if kind == "ids":
        body = tables.of_ids(splits, distances)
    else:
        timed = kind == "times" and (clock or feature.role == "feature")
        body = tables.of_numbers(feature.name, splits, distances, timed)
    ranks = {key: f"{value:.6g}" for key, value in rank.items()}
    return Card(feature.name, kind, order, ranks, _tags(feature), body)


def _tags(feature: Feature) -> list[str]:
    tags = [feature.role, feature.dtype + (str(list(feature.shape)) if feature.shape else "")]
    if feature.ragged:
        tags.append(f"lists up to {feature.max_length:,}")
    if feature.vocabulary:
        tags.append(f"vocabulary {feature.vocabulary}: {feature.size:,} ids")
    elif feature.size:
        tags.append(f"{feature.size:,} ids")
    if feature.table != "events":
        tags.append(f"of the {feature.table}")
    return tags


def _distances(feature: Feature, splits: Splits) -> dict[str, drift.Drift]:
    """How far each other split is from train; users and times differ between splits anyway."""
    train = splits.get("train")
    if train is None or train["kind"] == "time" or feature.role == "user":
        return {}
    return {
        split: drift.compare(train, told, _LIMITS)
        for split, told in splits.items()
        if split != "train"
    }
