"""Our names and values as MLflow takes them: keys of a few characters, texts of some length."""

import datetime
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

KEY, PARAMETER, TAG = 250, 6000, 8000
"""Longest key, value of a parameter, and value of a tag."""
_WORDS = str.maketrans(
    {"@": "_at_", "≤": "up to", "<": "below", "≥": "from", ">": "over", "–": "-", "%": "percent"}
)
_SLICE = re.compile(r" \[(.*)\]$")
_FOREIGN = re.compile(r"[^/\w.\- :]")


def metric(name: str) -> str:
    """The key of a metric: ndcg@10 becomes ndcg_at_10, and a slice [history > 50] a part of it."""
    text = _FOREIGN.sub("_", _SLICE.sub(r"/\1", name).translate(_WORDS))
    parts = [part for part in text.split("/") if part not in ("", ".", "..")]
    return "/".join(parts)[:KEY] or "_"


def parameters(part: Any, prefix: str = "") -> dict[str, str]:
    """A config part as JSON, flat: path of each field → its value as a text."""
    return {metric(path)[:KEY]: text[:PARAMETER] for path, text in _flat(part, prefix)}


def tags(values: Mapping[str, Any]) -> dict[str, str]:
    """Facts as texts; what nobody knows, None or "", is left out."""
    return {
        name: str(value)[:TAG]
        for name, value in values.items()
        if value is not None and value != ""
    }


def millis(when: str) -> int:
    """Milliseconds since 1970 of an ISO 8601 time; 0 for what is none."""
    try:
        return int(1000 * datetime.datetime.fromisoformat(when).timestamp())
    except ValueError:
        return 0


def _flat(part: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(part, Mapping) and part:
        for name, value in part.items():
            yield from _flat(value, f"{path}.{name}".lstrip("."))
    elif isinstance(part, list) and any(isinstance(each, Mapping | list) for each in part):
        for at, value in enumerate(part):
            yield from _flat(value, f"{path}.{at}")
    else:
        text = part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)
        yield path, text
