"""How far a dataset may be from an earlier one."""

import dataclasses

from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Limits:
    """What `podway data --check --against` lets pass. Shares are from 0 to 1."""

    psi: float = 0.2
    """Population stability index of a feature from which on its distribution counts as drifted."""
    js: float = 0.1
    """Jensen–Shannon distance (base 2) from which on a feature gets a warning."""
    rows: int = 500
    """Rows that both sides of a comparison must have; with fewer there is no verdict."""
    missing: float = 0.05
    """By how much the share of missing values may grow."""
    out_of_vocabulary: float = 0.05
    """By how much the share of values out of the vocabulary may grow."""
    new_values: float = 0.05
    """Share of the train split's values that the earlier vocabulary may lack."""
    outside: float = 0.01
    """Share of numbers that may lie outside of the earlier range."""
    vocabulary: float = 2.0
    """Factor by which a vocabulary may grow or shrink."""
    examples: float = 0.5
    """Share of the earlier number of examples that each split must have."""

    def __post_init__(self):
        for field in ("missing", "out_of_vocabulary", "new_values", "outside", "examples"):
            value = getattr(self, field)
            check(0 <= value <= 1, f"limits.{field} is {value}; give a share from 0 to 1")
        check(self.psi > 0, f"limits.psi is {self.psi}; give a positive number")
        check(0 < self.js <= 1, f"limits.js is {self.js}; give a number up to 1")
        check(self.rows >= 1, f"limits.rows is {self.rows}; give 1 or more")
        check(self.vocabulary >= 1, f"limits.vocabulary is {self.vocabulary}; give 1 or more")
