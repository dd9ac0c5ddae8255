"""The picture of a chart: where its axes are, and what all figures share."""

from collections.abc import Sequence
from typing import Any

import markupsafe

from podway.framework.page import templates

WIDTH = 520
COLOURS = 8
"""Of the stylesheet: c0 … c7. From then on they come again, and lines are dashed."""

LETTER = 7
"""Width of a letter, about."""
_RIGHT, _TOP, _BOTTOM = 14, 10, 24


def colour(number: int) -> str:
    """The stylesheet's class of a series."""
    return f"c{number % COLOURS}" + (" dashed" if number >= COLOURS else "")


class Frame:
    """The picture's places: where the axes are, and their ticks."""

    def __init__(
        self,
        across: Sequence[tuple[float, str]],
        up: Sequence[tuple[float, str]],
        height: int,
        x: str,
        y: str,
        *,
        left: int = 0,
        right: int = _RIGHT,
    ):
        self.width, self.height, self.x_label, self.y_label = WIDTH, height, x, y
        self.top = _TOP + (16 if y else 0)
        self.bottom = height - _BOTTOM - (14 if x else 0)
        self.left = left or 10 + LETTER * max([4, *(len(told) for _, told in up)])
        self.right = WIDTH - right
        self.inner = self.right - self.left
        self.across = [(self.x(place), self._inside(self.x(place), told), told)
                       for place, told in across]  # fmt: skip
        self.up = [(self.y(place), told) for place, told in up]

    def x(self, place: float) -> float:
        """Where a place of the axis along the bottom is."""
        return self.left + place * self.inner

    def y(self, place: float) -> float:
        """Where a place of the axis upwards is."""
        return self.bottom - place * (self.bottom - self.top)

    def _inside(self, x: float, told: str) -> float:
        """The middle of a text that would begin or end outside of the picture."""
        half = LETTER * len(told) / 2
        return max(min(x, WIDTH - half), half)


def figure(title: str, frame: Frame, **values: Any) -> markupsafe.Markup:
    """The HTML of a figure; the template says which values there are."""
    told: dict[str, Any] = dict.fromkeys(("lines", "groups", "rows", "marks", "key"), ())
    told |= {"caption": True, "words": "", "described": "", "zero": None}
    made = templates.environment().get_template("chart.html.j2")
    return markupsafe.Markup(made.render(told | values, title=title, frame=frame))
