"""Energy of a run: memory's by the byte, the chip's by the second. Modelled, never compared.

`energy.json` has each coefficient with its source. What no source was found for has no energy.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from alula.design import Design

_DATA = json.loads((Path(__file__).parent / "energy.json").read_text(encoding="utf-8"))
JOULES_PER_BYTE: dict[str, float] = {
    kind: one["joules_per_byte"] for kind, one in _DATA["dram"].items()
}
"""Of the external memory, by its kind."""
WATTS_PER_LUT: dict[str, float] = {
    family: one["watts_per_lut"] for family, one in _DATA["chip"].items()
}
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
    """Return the power of a design's chip at work; None if no source is known for it."""
    each = WATTS_PER_LUT.get(design.part.family)
    return None if each is None else each * design.part.lut


def energy(design: Design, bytes: float, seconds: float) -> Energy | None:
    """Return the energy of a run; None if no source is known for the memory or the chip.

    Args:
        design: what it runs on.
        bytes: that pass memory's ports.
        seconds: that it takes.
    """
    dram = JOULES_PER_BYTE.get(design.memory.kind)
    chip = chip_watts(design)
    if dram is None or chip is None:
        return None
    return Energy(bytes * dram, chip * seconds, seconds)
