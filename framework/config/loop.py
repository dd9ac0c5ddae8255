"""Continuous training: when a new model is made, from what, and what stops it."""

import dataclasses
from typing import Literal

from podway.framework.config.limits import Limits
from podway.framework.error import check

_INCREMENT = Limits(examples=0.0, vocabulary=1e9)


@dataclasses.dataclass(frozen=True)
class Loop:
    """How `podway loop` goes on. A cycle begins when there are new raw files and any of `every`,
    `new_events` and `drift` says so; with all three off, as soon as there are new files."""

    every: float = 24.0
    """Hours since the last cycle began; 0: the clock starts none."""
    new_events: int = 0
    """Events in the new files, as estimated from their sizes; 0: their number starts none."""
    drift: float = 0.0
    """Population stability index of any feature, of the new files against the dataset that the last
    cycle left; 0: drift starts none. Above 0 the new files are read at each look."""
    dataset: Literal["extend", "rebuild"] = "extend"
    """Whether the new files are added to the last dataset, whose ids keep their meaning, or all
    files are read anew. Where a dataset cannot be extended it is rebuilt."""
    rebuild_every: int = 0
    """Rebuild at every so many cycles, to drop what nobody uses any more; 0: never."""
    warm_start: bool = True
    """Begin at the parameters of the model that serves, where the dataset is an extension of its;
    a rebuilt one has other ids, so there training begins anew."""
    steps: int = 0
    """Steps of a warm start; 0: trainer.steps."""
    max_rejected: float = 0.01
    """Fail the check when more than this share of the rows of the new files is rejected."""
    limits: Limits = _INCREMENT
    """How far the new files may be from the dataset before them."""
    schema: str = ""
    """File that declares what a dataset must be like (`podway data --infer-schema`); "": none."""

    def __post_init__(self):
        for field in ("every", "new_events", "drift", "rebuild_every", "steps"):
            value = getattr(self, field)
            check(value >= 0, f"loop.{field} is {value}; give 0 (off) or more")
        check(
            0 <= self.max_rejected <= 1,
            f"loop.max_rejected is {self.max_rejected}; give a fraction from 0 to 1",
        )
