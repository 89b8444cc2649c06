"""How long a net takes: a stated model over its fan-out, where nothing is placed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Nets:
    """A net that feeds `n` pins takes ``base + slope * log2(n)`` ns.

    Attributes:
        base: ns of a net that feeds one.
        slope: ns more each time that the pins double.
        uncertainty: ns of a period that clock skew and jitter take.
    """

    base: float
    slope: float
    uncertainty: float = 0.1
