"""The golden file of a model of labels: which rows its signatures are given, and what is as JAX's.

Every case goes through every signature that the model has: raw columns, tf.Examples, and those of
Classify and Regress, whose answers are made of the same golden ones.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from podway.export.error import ExportError
from podway.export.graph.classify_regress import EXAMPLES, INPUTS, NAMES, SIGNATURE, methods
from podway.export.verification import golden, requests, sessions
from podway.export.verification.golden import Columns, Request
from podway.export.verification.sessions import Signature


@dataclasses.dataclass(frozen=True)
class LabelsGolden:
    """A Golden (export/verification/golden.py).

    Attributes:
      content: of the file, as export/cases/labels.py made it.
      signatures: of the SavedModel.
    """

    content: Mapping[str, Any]
    signatures: Mapping[str, Signature]
    measure = "an answer, by 1 + its size,"

    def check_signatures(self) -> None:
        """See Golden: each must be there for the API that it should answer."""
        if "labels" not in self.content:
            return  # an export from before there were these signatures
        expected = {SIGNATURE: "predict", EXAMPLES: "predict"}
        expected |= {name: api for name, (api, _) in methods(self.content["labels"]).items()}
        found = {name: signature.method for name, signature in self.signatures.items()}
        wanted = {name: NAMES.get(api, sessions.PREDICT) for name, api in expected.items()}
        if found != wanted:
            raise ExportError(f"the signatures and their methods are {found}, not {wanted}")

    def requests(self, case: Mapping[str, Any]) -> Iterator[Request]:
        """See Golden."""
        names = sorted(
            self.signatures, key=lambda name: (name != SIGNATURE, name != EXAMPLES, name)
        )
        for name in names:
            where = f"case {case['name']!r}"
            where += f", signature {name}" if name != SIGNATURE else ""
            yield self._request(name, case["rows"], where)

    def further_requests(self) -> Iterator[Request]:
        """See Golden: there are none."""
        return iter(())

    def _request(self, name: str, rows: Sequence[int], where: str) -> Request:
        wanted = _take(self._answers(name), rows)

        def difference(found: Columns) -> float:
            rounding = self.content.get(golden.ROUNDING, 0.0)
            apart = [_compare(each, found[each], wanted[each], where, rounding) for each in wanted]
            return max(apart)

        return Request(name, self._inputs(name, rows), where, difference)

    def _inputs(self, name: str, rows: Sequence[int]) -> Columns:
        if name == SIGNATURE:
            return _take(self._raw, rows)
        content = self.content
        examples = requests.rows(content["raw"], content["inputs"], content["separators"], rows)
        return {EXAMPLES if name == EXAMPLES else INPUTS: examples}

    @functools.cached_property
    def _raw(self) -> Columns:
        raw, kinds = self.content["raw"], self.content["inputs"]
        return {key: requests.tensor(raw[key], kind) for key, kind in kinds.items()}

    def _answers(self, name: str) -> Columns:
        """What a signature must answer to all golden rows."""
        answers = self._by_label
        if name in (SIGNATURE, EXAMPLES):
            return answers
        method, label = methods(self.content["labels"])[name]
        if method == "regress":
            return {"outputs": answers[label]}
        scores = answers[label]
        if self.content["labels"][label] == "binary":
            scores = np.stack([1 - scores, scores], axis=1)
        classes = np.array([[str(number).encode() for number in range(scores.shape[1])]], object)
        return {"scores": scores, "classes": classes.repeat(len(scores), axis=0)}

    @functools.cached_property
    def _by_label(self) -> Columns:
        return {label: np.array(values) for label, values in self.content["answers"].items()}


def warmup_rows(content: Mapping[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """Of each signature the row that its warm-up requests are made of: the first ordinary one."""
    raw, kinds = content["raw"], content["inputs"]
    columns = {key: requests.tensor(raw[key][2:3], kind) for key, kind in kinds.items()}
    example = requests.rows(raw, kinds, {}, [2])
    return {
        SIGNATURE: columns,
        EXAMPLES: {EXAMPLES: example},
        **{name: {INPUTS: example} for name in methods(content["labels"])},
    }


def _take(columns: Columns, rows: Sequence[int]) -> Columns:
    chosen = np.array(rows, np.int64)
    return {name: column[chosen] for name, column in columns.items()}


def _compare(
    label: str, found: np.ndarray, wanted: np.ndarray, where: str, rounding: float
) -> float:
    if found.shape != wanted.shape:
        raise ExportError(f"{where}: {label} has the shape {found.shape}, not {wanted.shape}")
    if wanted.dtype == object:
        if found.tolist() != wanted.tolist():
            raise ExportError(f"{where}: {label} are {found.tolist()}, not {wanted.tolist()}")
        return 0.0
    apart = np.abs(found - wanted)
    wrong = np.argwhere(~(apart <= golden.tolerated(wanted, rounding)))
    if len(wrong):
        first = tuple(wrong[0])
        raise ExportError(
            f"{where}, row {first[0]}: {label} is {found[first]:.7g}, JAX says {wanted[first]:.7g}"
            f" (they differ by {apart[first]:.2g})"
        )
    return float((apart / (1 + np.abs(wanted))).max(initial=0.0))
