"""A request that the model answers, of its golden ones, and what it answers."""

import dataclasses
import json
import shlex
from collections.abc import Mapping
from typing import Any

from podway.export import layout
from podway.export.graph.features import MISSING_TIME

_SHORT, _LONG = 3, 12
"""Events of a history that is easy to read."""
_INLINE = 1500
"""Characters of a body that a command may hold."""
_SHOWN = 3
"""Items of the answer that are shown."""


@dataclasses.dataclass(frozen=True)
class Example:
    """A request by REST.

    Attributes:
      body: as JSON.
      answer: what comes back, the beginning of it, in words.
    """

    body: str
    answer: str

    @property
    def is_long(self) -> bool:
        """Whether it is better read from a file (layout.REQUEST)."""
        return len(self.body) > _INLINE

    def command(self, name: str) -> str:
        """A curl command that sends it to a server of this machine."""
        data = f"@{layout.REQUEST}" if self.is_long else shlex.quote(self.body)
        return f"curl http://localhost:8501/v1/models/{name}:predict \\\n  -d {data}"


def example(golden: Mapping[str, Any]) -> Example:
    """A request of ordinary values, from a golden file."""
    return _of_row(golden) if golden.get("kind") == "rows" else _of_history(golden)


def _of_history(golden: Mapping[str, Any]) -> Example:
    rows = golden["rows"]
    ordinary = [
        rows[at]
        for case in golden["cases"]
        if case["name"].startswith("a batch of")
        for at in case["rows"]
    ]
    fit = [row for row in ordinary if _SHORT <= len(row["values"]) <= _LONG and all(row["values"])]
    row = (fit or ordinary or rows)[0]
    sent = {"history": row["values"]} | ({"times": row["times"]} if "times" in row else {})
    answer = row["answer"]
    best = zip(answer["values"][:_SHOWN], answer["scores"][:_SHOWN], strict=True)
    told = ", ".join(f"{item} ({score:.4g})" for item, score in best)
    return Example(_body(sent), f"{golden['k']} items with their scores, the best first: {told} …")


def _of_row(golden: Mapping[str, Any]) -> Example:
    raw, answers = golden["raw"], golden["answers"]
    rows = range(2, len(next(iter(raw.values()), ())))  # the first two are missing and unknown

    def missing(row: int) -> int:
        return sum(values[row] in (None, "", MISSING_TIME, []) for values in raw.values())

    row = min(rows, key=missing, default=0)
    sent = {name: values[row] for name, values in raw.items()}
    told = ", ".join(f"{label} {json.dumps(values[row])}" for label, values in answers.items())
    return Example(_body(sent), told)


def _body(row: Mapping[str, Any]) -> str:
    return json.dumps({"instances": [row]}, ensure_ascii=False)
