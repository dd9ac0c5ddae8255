"""Rules in words."""

from podway.framework.config import (
    Better,
    DataCheck,
    Latency,
    NotWorse,
    Rule,
    Size,
    Within,
)
from podway.launch.gate.measured import called


def of(rule: Rule, selection: str) -> str:
    """What a rule asks for; `selection` is the metric of those that name none."""
    match rule:
        case Better():
            by = f" by {_share(rule.by, relative=rule.relative)}" if rule.by else ""
            return f"{called(rule.metric or selection, rule.slice)} better{by}"
        case NotWorse():
            margin = _share(rule.margin, relative=rule.relative)
            return f"{called(rule.metric or selection, rule.slice)} not worse by {margin}"
        case Within():
            bounds = [f"above {rule.low:g}"] if rule.low is not None else []
            bounds += [f"below {rule.high:g}"] if rule.high is not None else []
            return f"{called(rule.metric or selection, rule.slice)} {' and '.join(bounds)}"
        case Latency():
            rows = "1 row" if rule.batch_size == 1 else f"{rule.batch_size} rows"
            limits = _limits(rule.milliseconds, "ms", rule.ratio)
            return f"p{rule.percentile:g} of {rows} at most {limits}"
        case Size():
            return f"size at most {_limits(rule.megabytes, 'MB', rule.ratio)}"
        case DataCheck():
            against = ["the champion's"] if rule.against_champion else []
            against += [rule.schema] if rule.schema else []
            return f"data check against {' and '.join(against)}"
    return type(rule).__name__


def _share(value: float, *, relative: bool) -> str:
    return f"{100 * value:g} %" if relative else f"{value:g}"


def _limits(value: float | None, unit: str, ratio: float | None) -> str:
    limits = [f"{value:g} {unit}"] if value is not None else []
    limits += [f"{ratio:g} × the champion's"] if ratio is not None else []
    return " and ".join(limits)
