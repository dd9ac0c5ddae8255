"""The statistics page: what a dataset holds, in one HTML file that opens from a disk.

Everything that comes from the data is escaped. The plots are SVG; a short script filters and sorts
the features, also by the address (#find=price&kind=numbers&sort=missing).
"""

from collections.abc import Mapping
from typing import Any

from etils import epath

from podway.beam.report import tables as page_tables
from podway.beam.report.style import SCRIPT, STYLE
from podway.beam.report.tables import BAD, WARN, Splits, escaped, share
from podway.beam.statistics import drift
from podway.beam.statistics.limits import Limits
from podway.framework.schema.schema import Feature, Schema

_LIMITS = Limits()
_FOOT = (
    f'<p class="soft">Coloured: missing and out-of-vocabulary shares from {WARN:.0%} and from'
    f" {BAD:.0%}; PSI (population stability index, against train) from {_LIMITS.psi:g}, and where"
    f" the Jensen–Shannon distance is above {_LIMITS.js:g}. ≈ is an estimate.</p>"
)


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
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f"<title>{escaped(title)}</title><style>{STYLE}</style></head><body><main>"
        f"<h1>{escaped(title)}</h1>{_head(report, details.get('splits', {}))}"
        f"{_controls(statistics)}"
        f'<div class="cards">{"".join(cards)}</div>{_FOOT}</main>'
        f"<script>{SCRIPT}</script></body></html>\n"
    )


# ------------------------------------------------------------------------------------------- head


def _head(report: Mapping[str, Any], splits: Mapping[str, Any]) -> str:
    tiles = [(f"{split} examples", f"{part['examples']:,}") for split, part in splits.items()]
    tiles += [(name, f"{report[name]:,}") for name in ("users", "items") if name in report]
    if "density" in report:
        tiles.append(("density", f"{report['density']:.3%}"))
    boxes = "".join(
        f'<div class="tile"><span class="soft">{escaped(name)}</span><b>{escaped(value)}</b></div>'
        for name, value in tiles
    )
    return f'{_rows(report) if report.get("rows") else ""}<div class="tiles">{boxes}</div>'


def _rows(report: Mapping[str, Any]) -> str:
    """What became of the raw rows: a bar, and the same in words."""
    parts = [("kept", "kept", report["kept"])]
    parts += [
        ("filtered", f"filtered: {rule}", count) for rule, count in report["filtered"].items()
    ]
    parts += [("rejected", f"rejected: {why}", count) for why, count in report["rejected"].items()]
    told = [(kind, name, count) for kind, name, count in parts if count]
    bar = "".join(
        f'<i class="{kind}" style="flex:{count}" title="{escaped(name)}: {count:,}"></i>'
        for kind, name, count in told
    )
    words = " · ".join(
        f"{escaped(name)} {count:,} ({count / report['rows']:.2%})" for _, name, count in told
    )
    return (
        f'<div class="soft">{report["rows"]:,} raw rows</div>'
        f'<div class="rows" role="img" aria-label="What became of the raw rows">{bar}</div>'
        f"<div>{words}</div>"
    )


def _controls(statistics: Mapping[str, Any]) -> str:
    keys = "".join(
        f'<span class="c-{escaped(split)}">{escaped(split)}</span>' for split in statistics
    )
    kinds = ("all", "numbers", "ids", "times")
    sorts = {
        "order": "schema", "name": "name", "missing": "missing", "unknown": "out of vocabulary",
        "distinct": "distinct values", "drift": "drift from train",
    }  # fmt: skip
    return (
        '<div class="bar" hidden><label>Find <input id="find" type="search"></label>'
        '<label>Kind <select id="kind">'
        + "".join(f'<option value="{kind}">{kind}</option>' for kind in kinds)
        + '</select></label><label>Sort by <select id="sort">'
        + "".join(f'<option value="{key}">{name}</option>' for key, name in sorts.items())
        + f'</select></label><span class="soft" id="shown" aria-live="polite"></span>'
        f'<span class="key">{keys}</span></div>'
    )


# ---------------------------------------------------------------------------------------- feature


def _card(feature: Feature, order: int, splits: Splits, clock: bool) -> str:
    first = next(iter(splits.values()))
    kind = {"ids": "ids", "time": "times"}.get(first["kind"], "numbers")
    distances = _distances(feature, splits)
    rank = {
        "missing": max(share(told, "missing") for told in splits.values()),
        "unknown": max(share(told, "out_of_vocabulary") for told in splits.values()),
        "distinct": max(told["distinct"] for told in splits.values()),
        "drift": max((one.psi for one in distances.values() if one.psi == one.psi), default=0.0),
    }
    data = "".join(f' data-{key}="{value:.6g}"' for key, value in rank.items())
    if kind == "ids":
        body = page_tables.of_ids(splits, distances)
    else:
        timed = kind == "times" and (clock or feature.role == "feature")
        body = page_tables.of_numbers(feature.name, splits, distances, timed)
    return (
        f'<section class="card" data-name="{escaped(feature.name)}" data-kind="{kind}"'
        f' data-order="{order}"{data}><header><h2>{escaped(feature.name)}</h2>{_tags(feature)}'
        f"</header>{body}</section>"
    )


def _tags(feature: Feature) -> str:
    tags = [feature.role, feature.dtype + (str(list(feature.shape)) if feature.shape else "")]
    if feature.ragged:
        tags.append(f"lists up to {feature.max_length:,}")
    if feature.vocabulary:
        tags.append(f"vocabulary {feature.vocabulary}: {feature.size:,} ids")
    elif feature.size:
        tags.append(f"{feature.size:,} ids")
    if feature.table != "events":
        tags.append(f"of the {feature.table}")
    return "".join(f'<span class="tag">{escaped(tag)}</span>' for tag in tags)


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
