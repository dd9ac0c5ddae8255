"""A recommender's golden file: which histories its signatures are given, and what is as JAX's.

An item may stand in another's place where their scores are as close as scores have to be.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from podway.export.error import ExportError
from podway.export.graph.classify_regress import EXAMPLES, SIGNATURE
from podway.export.verification import golden, requests
from podway.export.verification.golden import Columns, Request
from podway.export.verification.sessions import Signature
from podway.framework.schema.schema import FIRST_VALUE, Vocabulary

BEFORE_EXAMPLES = (SIGNATURE, "ids")
"""Signatures of a recommender whose golden file does not say which it has."""


@dataclasses.dataclass(frozen=True)
class RecommenderGolden:
    """A Golden (export/verification/golden.py).

    Attributes:
      content: of the file, as export/cases/recommender.py made it.
      signatures: of the SavedModel.
    """

    content: Mapping[str, Any]
    signatures: Mapping[str, Signature]
    measure = "a score"

    @property
    def names(self) -> Sequence[str]:
        """The signatures that the file is of."""
        return self.content.get("signatures", BEFORE_EXAMPLES)

    def check_signatures(self) -> None:
        """See Golden."""
        if missing := sorted({*self.names} - {*self.signatures}):
            raise ExportError(f"the model has no signature {missing[0]!r}")

    def requests(self, case: Mapping[str, Any]) -> Iterator[Request]:
        """See Golden."""
        rows = [self.content["rows"][index] for index in case["rows"]]
        values, ids = ([row[kind] for row in rows] for kind in ("values", "ids"))
        times, given = _times(rows)
        inputs = {
            SIGNATURE: {"history": _rectangle(values, b""), **given},
            "ids": {"history": _rectangle(ids, 0), **given},
            EXAMPLES: {EXAMPLES: requests.histories(values, times)},
        }
        for name in filter(self.names.__contains__, inputs):
            where = f"case {case['name']!r}, signature {name}"
            yield self._request(name, inputs[name], rows, where)

    def further_requests(self) -> Iterator[Request]:
        """See Golden: rows of lists, through the signature `filtered`."""
        if rows := self.content.get("filtered"):
            inputs = {
                name: _rectangle([row[name] for row in rows], b"")
                for name in ("history", "allow", "deny")
            }
            cases = ", ".join(repr(row["name"]) for row in rows)
            where = f"signature filtered, cases {cases}"
            yield self._request("filtered", inputs | _times(rows)[1], rows, where)

    def _request(
        self, name: str, inputs: Columns, rows: Sequence[Mapping[str, Any]], where: str
    ) -> Request:
        expected = [row["answer"] for row in rows]
        kind, k = "ids" if name == "ids" else "values", self.content["k"]
        rounding = self.content.get(golden.ROUNDING, 0.0)

        def difference(found: Columns) -> float:
            for attribute, texts in self.content.get("attributes", {}).items():
                _check_attribute(expected, kind, found["item"], found[attribute], texts, where)
            return compare(expected, kind, found["item"], found["score"], k, where, rounding)

        return Request(name, inputs, where, difference)


def compare(
    expected: list[dict[str, Any]],
    kind: str,
    item: np.ndarray,
    score: np.ndarray,
    k: int,
    where: str,
    rounding: float = 0.0,
) -> float:
    """The largest absolute difference of a score. Raises ExportError at the first that is too far.

    Args:
      expected: per row the "scores", "values" and "ids" of the best items, more than k of them.
      kind: "values" or "ids": what the items are.
      item: items that came back, [batch, k].
      score: their scores, [batch, k].
      k: length of the lists.
      where: the case, for the message.
      rounding: see golden.tolerated.
    """

    def is_close(got: float, wanted: float) -> bool:
        return abs(got - wanted) <= golden.tolerated(wanted, rounding)

    shape = (len(expected), k)
    if item.shape != shape or score.shape != shape:
        raise ExportError(f"{where}: item {item.shape} and score {score.shape}, not {shape}")
    worst = 0.0
    for row, answer in enumerate(expected):
        own = dict(zip(answer[kind], answer["scores"], strict=True))
        found = [value.decode() if isinstance(value, bytes) else int(value) for value in item[row]]
        for rank, (value, got) in enumerate(zip(found, score[row].tolist(), strict=True)):
            wanted = answer["scores"][rank]
            entry = f"{where}, row {row}, place {rank}"
            if not is_close(got, wanted):
                raise ExportError(
                    f"{entry}: score {got:.7g}, JAX says {wanted:.7g}"
                    f" (they differ by {abs(got - wanted):.2g})"
                )
            if value not in own or not is_close(own[value], wanted):
                raise ExportError(f"{entry}: item {value!r}, JAX says {answer[kind][rank]!r}")
            worst = max(worst, abs(got - wanted))
        named = [value for value in found if value]
        if len(set(named)) < len(named):
            raise ExportError(f"{where}, row {row}: an item appears twice")
    return worst


def _check_attribute(
    expected: list[dict[str, Any]],
    kind: str,
    item: np.ndarray,
    found: np.ndarray,
    texts: Mapping[str, str],
    where: str,
) -> None:
    """Raises ExportError where an item has not its own text, which `texts` has by its value."""
    for row, answer in enumerate(expected):
        values = dict(zip(answer[kind], answer["values"], strict=True))
        for value, text in zip(item[row], found[row], strict=True):
            named = value.decode() if isinstance(value, bytes) else int(value)
            wanted = texts.get(values.get(named, ""), "")
            if text.decode() != wanted:
                raise ExportError(
                    f"{where}, row {row}: item {named!r} is answered with {text.decode()!r}, and"
                    f" the dataset has {wanted!r}"
                )


def _times(rows: list[dict[str, Any]]) -> tuple[list[list[int]] | None, dict[str, np.ndarray]]:
    """Of golden rows the times and the input that brings them; none where the model reads none."""
    if "times" not in rows[0]:
        return None, {}
    times = [row["times"] for row in rows]
    return times, {"times": _rectangle(times, 0)}


def _rectangle(rows: list[list[Any]], padding: Any) -> np.ndarray:
    """Rows of strings (as bytes) or ids, filled up to the longest."""
    width = max(map(len, rows))
    array = np.full((len(rows), width), padding, object if padding == b"" else np.int64)
    for row, values in zip(array, rows, strict=True):
        row[: len(values)] = [v.encode() if isinstance(v, str) else v for v in values]
    return array


def warmup_rows(
    vocabulary: Vocabulary, signatures: Sequence[str], *, times: bool
) -> dict[str, dict[str, np.ndarray]]:
    """Of each signature the row that its warm-up requests are made of.

    `times` says whether the signatures have such an input.
    """
    value = vocabulary.values[FIRST_VALUE]
    known, empty = np.array([[value.encode()]], object), np.array([[b""]], object)
    rows = {
        SIGNATURE: {"history": known},
        "ids": {"history": np.array([[FIRST_VALUE]], np.int64)},
        EXAMPLES: {EXAMPLES: requests.histories([[value]], [[0]] if times else None)},
        "filtered": {"history": known, "allow": empty, "deny": empty},
    }
    if times:
        given = {"times": np.zeros((1, 1), np.int64)}
        rows = {
            name: inputs if name == EXAMPLES else inputs | given for name, inputs in rows.items()
        }
    return {name: rows[name] for name in signatures}
