"""The chip that a design is built for: no other one stands in where the design does not say."""

import re

from alula.design import Design
from alula.synth.tools import SynthError

__all__ = ["order_number"]

_AMD = r"-[a-z]+\d+-[0-9a-z-]+"
_NUMBERS = {
    "ultrascale+": (
        rf"x[acq](k2[46]|(ku|vu|au|su)\d+p|zu\d+[a-z]+|ux?\d+[a-z]?){_AMD}",
        "an UltraScale+ chip, such as xck26-sfvc784-2LV-c",
    ),
    "versal": (
        rf"x[acq](2?v[cehmnp]|v)\d+{_AMD}",
        "a Versal chip, such as xcvh1582-vsva3697-2MP-e-S",
    ),
    "ecp5": (
        r"LFE5U-(12|25|45|85)F-[678]BG(256|381|554|756)[CI]",
        "an ECP5, such as LFE5U-85F-6BG756C",
    ),
}
"""What order numbers of a family look like, and what to call it."""


def order_number(design: Design) -> str:
    """Return the order number of a design's chip.

    Raises:
        SynthError: the design names none, or one of another family.
    """
    part = design.part
    pattern, of = _NUMBERS[part.family]
    if part.number is None:
        raise SynthError(f"part.number must be given, the order number of {of} ({design.name})")
    if not re.fullmatch(pattern, part.number, re.IGNORECASE):
        raise SynthError(f"part.number must be of {of}, not {part.number} ({design.name})")
    return part.number
