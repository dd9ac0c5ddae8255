"""What a model server says to one request, by whatever protocol."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Protocol


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes:
      outputs: name → rows: nested lists of numbers and strings.
      version: that answered; None: the protocol does not say.
    """

    outputs: Mapping[str, Any]
    version: int | None = None

    def rows(self, name: str) -> Any:
        """An output by its name; () where there is none. REST leaves out the name of a lone one."""
        return self.outputs.get(name, self.outputs.get("", ()))


class ServerError(Exception):
    """A server refused a request, or did not answer.

    Attributes:
      code: gRPC's name of what it was, as UNAVAILABLE; over REST "HTTP 404".
    """

    def __init__(self, code: str, message: str):
        super().__init__(f"{code}: {message}")
        self.code = code


class Server(Protocol):
    """A model server, or a balancer before several."""

    async def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        signature: str = "",
        label: str = "",
        version: int | None = None,
        timeout: float = 10.0,
    ) -> Answer:
        """Asks for the answers to rows of inputs, by a label, by a version, or by neither.

        Args:
          model: its name.
          inputs: name → rows, nested lists of numbers and strings.
          signature: of the model; "": serving_default.
          label: of the version.
          version: its number.
          timeout: seconds.

        Raises ServerError.
        """
        ...


def is_empty(answer: Answer, name: str) -> bool:
    """Whether an output holds nothing for some of its rows: no value, or only ""."""
    rows = answer.rows(name)
    return not len(rows) or not all(any(value not in ("", b"") for value in _flat(r)) for r in rows)


def highest(answer: Answer, name: str) -> float | None:
    """The highest number of an output; NaN where one of them is not finite; None: it has none."""
    numbers = [float(value) for value in _flat(answer.rows(name))]
    if not numbers:
        return None
    return max(numbers) if all(map(math.isfinite, numbers)) else math.nan


def _flat(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [one for each in value for one in _flat(each)]
    return [value]
