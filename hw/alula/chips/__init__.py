"""Chip families: everything about one is in one object, in one file.

A new family is a file here, its name in `FamilyName`, and an entry of `FAMILIES`.
"""

from alula.chips.ecp5 import ECP5
from alula.chips.family import ChipFamily, DspBlocks, FamilyName
from alula.chips.ultrascale import ULTRASCALE_PLUS
from alula.chips.use import Use
from alula.chips.versal import VERSAL

FAMILIES: dict[FamilyName, ChipFamily] = {
    family.name: family for family in (ULTRASCALE_PLUS, VERSAL, ECP5)
}

__all__ = ["FAMILIES", "ChipFamily", "DspBlocks", "FamilyName", "Use"]
