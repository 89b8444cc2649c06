"""The chip that a design is built for: none is assumed where the design does not name one."""

import re

from alula.design import Design
from alula.synth.tools import SynthError


def order_number(design: Design) -> str:
    """Return the order number of a design's chip.

    Raises:
        SynthError: the design names none, or one of another family.
    """
    part = design.part
    family = design.family
    of = f"{family.title}, such as {family.example}"
    if part.number is None:
        raise SynthError(f"part.number must be given, the order number of {of} ({design.name})")
    if not re.fullmatch(family.order_number, part.number, re.IGNORECASE):
        raise SynthError(f"part.number must be of {of}, not {part.number} ({design.name})")
    return part.number
