"""What each TensorFlow release can read. Pure Python: the export writes by it, verification reads.

Measured with the pip packages: the largest `version` of XlaCallModule and of StableHLO that load.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Target:
    """Limits of a runtime.

    Attributes:
      calling_convention: `version` of the XlaCallModule operation.
      stablehlo: version of StableHLO's portable format.
    """

    calling_convention: int
    stablehlo: str


TARGETS = {
    "2.18": Target(9, "1.7.0"),
    "2.19": Target(9, "1.9.1"),
    "2.20": Target(10, "1.12.1"),
    "2.21": Target(10, "1.13.7"),
}
