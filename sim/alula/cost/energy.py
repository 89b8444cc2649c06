"""Energy of a run: memory's by the byte, the chip's by the second. Modelled, never compared.

`energy.json` has each coefficient with its source, and whether that states it (published) or it
was made from what is known of something like it (assumed). What there is none for has no energy.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from alula.design import Design

Basis = Literal["published", "assumed"]
"""How a coefficient is known."""


@dataclass(frozen=True)
class Coefficient:
    """A number that energy is counted with.

    Attributes:
        of: the kind of memory, or the family of chips.
        value: the number.
        unit: what it is counted in.
        basis: how it is known.
        source: where it comes from.
    """

    of: str
    value: float
    unit: str
    basis: Basis
    source: str


def _read(kind: str, field: str, unit: str) -> dict[str, Coefficient]:
    return {
        of: Coefficient(of, one[field], unit, one["basis"], one["source"])
        for of, one in _DATA[kind].items()
    }


_DATA = json.loads((Path(__file__).parent / "energy.json").read_text(encoding="utf-8"))
JOULES_PER_BYTE = _read("dram", "joules_per_byte", "J a byte")
"""Of the external memory, by its kind."""
WATTS_PER_LUT = _read("chip", "watts_per_lut", "W a LUT")
"""Of a chip at work, by its family, for each LUT that the part has."""


@dataclass(frozen=True)
class Energy:
    """What a run takes of the memory and of the chip.

    Attributes:
        memory: joules for the bytes.
        chip: joules for the time.
        seconds: the time.
    """

    memory: float
    chip: float
    seconds: float

    @property
    def joules(self) -> float:
        """Of the whole run."""
        return self.memory + self.chip

    @property
    def watts(self) -> float:
        """Mean power."""
        return self.joules / self.seconds


def chip_watts(design: Design) -> float | None:
    """Return the power of a design's chip at work; None if no coefficient is known for it."""
    each = WATTS_PER_LUT.get(design.part.family)
    return None if each is None else each.value * design.part.lut


def basis(design: Design) -> Basis | None:
    """Return how the energy of a design's runs is known; None if it is not.

    It is published where the coefficients of memory and chip both are.
    """
    used = JOULES_PER_BYTE.get(design.memory.kind), WATTS_PER_LUT.get(design.part.family)
    if None in used:
        return None
    return "published" if all(one and one.basis == "published" for one in used) else "assumed"


def energy(design: Design, bytes: float, seconds: float) -> Energy | None:
    """Return the energy of a run; None if no coefficient is known for the memory or the chip.

    Args:
        design: what it runs on.
        bytes: that pass memory's ports.
        seconds: that it takes.
    """
    dram, watts = JOULES_PER_BYTE.get(design.memory.kind), chip_watts(design)
    if dram is None or watts is None:
        return None
    return Energy(memory=bytes * dram.value, chip=watts * seconds, seconds=seconds)


def table_text() -> str:
    """Return the coefficients as a Markdown table."""
    lines = ["| of | coefficient | is | from |", "|---|--:|---|---|"]
    for one in (*JOULES_PER_BYTE.values(), *WATTS_PER_LUT.values()):
        lines.append(f"| {one.of} | {one.value:g} {one.unit} | {one.basis} | {one.source} |")
    return "\n".join(lines) + "\n"
