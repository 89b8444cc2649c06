"""What multipliers, clock gates and fp32 units are made of: plain logic, or cells of a family."""

from typing import Literal

Target = Literal["portable", "dsp48e2", "mult18x18d"]
"""Named by the multiplier: ``portable`` for simulation, ``dsp48e2`` for UltraScale+ and Versal,
``mult18x18d`` for ECP5."""
TARGETS: tuple[Target, ...] = ("portable", "dsp48e2", "mult18x18d")
