"""What lock step says of a divergence: where it is in the model, the program and the machine."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from alula.design import Design
from alula.isa import Engine, Program, Region, format_op
from alula.model import Retired
from alula.model.errors import place_text
from alula.model.writes import STAGING_ROW, WORD, Space, Writes
from alula.rtl.lockstep import Divergence
from alula.rtl.tiles import tile

_SIZES = {Space.VECTOR: 4, Space.SIDES: 4, Space.SCALES: 2, Space.REGISTER: 4, Space.BEST: 4}
"""Bytes of an element; 1 in spaces that are not listed."""
_FP32 = ("ST.V", "ST.W")
"""Instructions that store words of 32 bits."""


class Difference(NamedTuple):
    """The first element that differs, and how many do.

    `byte`: its first, in its space. `expected`, `found`: its bytes; None where it was not written.
    """

    space: Space
    byte: int
    expected: bytes | None
    found: bytes | None
    differing: int
    total: int


def first_difference(expected: Writes, found: Writes, memory: int = 1) -> Difference | None:
    """Compare what was written, element by element; those of memory have `memory` bytes."""
    places = np.union1d(expected.place, found.place)
    (data, mask), (other, other_mask) = (_bytes(item, places) for item in (expected, found))
    differs = (mask != other_mask) | (mask & other_mask & (data != other))
    if not differs.any():
        return None
    joined = Writes(places, places, places)
    by_space = np.array([{**_SIZES, Space.MEMORY: memory}.get(space, 1) for space in Space])
    sizes = by_space[joined.space.astype(np.int64)]
    # An element differs if a byte of it does; all are within a word.
    count = total = 0
    for size in np.unique(sizes):
        part = np.flatnonzero(sizes == size)
        shape = (part.size, WORD // int(size), int(size))
        count += int(differs[part].reshape(shape).any(axis=2).sum())
        total += int(mask[part].reshape(shape).any(axis=2).sum())
    word, within = divmod(int(np.argmax(differs)), WORD)
    size = int(sizes[word])
    part = slice(within - within % size, within - within % size + size)
    return Difference(
        Space(int(joined.space[word])),
        int(joined.byte[word]) + part.start,
        data[word, part].tobytes() if mask[word, part].any() else None,
        other[word, part].tobytes() if other_mask[word, part].any() else None,
        count,
        total,
    )


def _bytes(writes: Writes, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of words at `places`, and which of them count: [word, 8]."""
    data, mask = (np.zeros(places.size, np.uint64) for _ in range(2))
    index = np.searchsorted(places, writes.place)
    data[index], mask[index] = writes.data, writes.mask
    counts = mask[:, None] >> np.arange(WORD, dtype=np.uint64) & np.uint64(1)
    return data.view(np.uint8).reshape(-1, WORD), counts == 1


class OutOfStep(Exception):
    """The gateware has left the machine model's steps. Prints as a block of lines.

    Attributes:
        design, program: what ran.
        divergence: the first retirement that differs.
        expected: what the machine model retires there; None if nothing.
        difference: the first element that differs, where both retire the same instruction.
        regions: of the image.
        waves: the file that shows the cycles before it, or why there is none; "" if not wanted.
    """

    def __init__(
        self,
        design: Design,
        program: Program,
        divergence: Divergence,
        expected: tuple[Retired, Writes] | None,
        regions: Mapping[str, Region],
    ) -> None:
        super().__init__(f"{program.name} diverges")
        self.design, self.program, self.divergence = design, program, divergence
        self.regions = regions
        self.expected: Retired | None = None
        self.difference: Difference | None = None
        self.waves = ""
        if expected is not None:
            self.expected, writes = expected
            if self.expected.address == divergence.address:
                size = 4 if self.expected.op.name in _FP32 else 1
                self.difference = first_difference(writes, divergence.writes, size)

    @property
    def lines(self) -> dict[str, str]:
        """What to say, by its heading."""
        found, retired = self.divergence, self.expected
        lines = {}
        if retired is not None:
            lines["unit"] = retired.origin or "none"
            place = place_text(retired.address, retired.iterations, "")
            lines["instruction"] = f"{format_op(retired.op)} ({place})"
            values = (f"{name}={value}" for name, value in retired.values.items())
            lines["operands"] = " ".join(values) or "none"
        if self.difference is not None and retired is not None:
            lines |= self._difference(self.difference, retired)
        else:
            lines["expected"] = "this instruction" if retired else "nothing more"
            lines["found"] = self._instruction(found.address)
        if self.design.cores > 1 and found.engine is not Engine.SYS:
            lines["core"] = f"{found.core} of {self.design.cores}"
        lines["retirement"] = f"{found.index} of {found.engine.name}, in cycle {found.cycle}"
        if self.waves:
            lines["waves"] = self.waves
        return lines

    def __str__(self) -> str:
        head = f"{self.program.name} must go in step with the machine model, not diverge:"
        return "\n".join([head, *(f"  {name:<12} {text}" for name, text in self.lines.items())])

    def _instruction(self, address: int | None) -> str:
        if address is None:
            return "the end of the run"
        if address >= len(self.program):
            return f"address {address}, outside the program"
        origins = self.program.origins
        origin = f", {origins[address]}" if address < len(origins) and origins[address] else ""
        return f"{format_op(self.program.ops[address])} (address {address}{origin})"

    def _difference(self, difference: Difference, retired: Retired) -> dict[str, str]:
        space, byte = difference.space, difference.byte
        lines = {}
        if difference.expected is None:
            lines["tile"] = "outside of what this instruction writes"
        elif text := tile(retired.op.name, retired.values, self.design, space, byte):
            lines["tile"] = text
        lines["address"] = self._address(space, byte, retired)
        lines["expected"] = _element(space, difference.expected)
        lines["found"] = _element(space, difference.found)
        lines["differ"] = f"{difference.differing} of {difference.total} elements"
        return lines

    def _address(self, space: Space, byte: int, retired: Retired) -> str:
        width = self.design.bytes_per_cycle
        tokens = self.design.mpe.tokens
        match space:
            case Space.VECTOR:
                word, lane = divmod(byte // 4, self.design.sfu.lanes)
                return f"vector buffer word {word}, lane {lane}"
            case Space.ACTIVATIONS:
                group, slot = divmod(byte // 32, tokens)
                return f"activation buffer group {group}, slot {slot}, value {byte % 32}"
            case Space.SIDES:
                group, slot = divmod(byte // WORD, tokens)
                return f"activation buffer group {group}, slot {slot}, side"
            case Space.STAGING:
                row, value = divmod(byte, STAGING_ROW)
                return f"staging row {row}, value {value}"
            case Space.SCALES:
                return f"staging row {byte // WORD}, scale"
            case Space.MEMORY:
                beat, rest = divmod(byte, width)
                regions = self.regions.items()
                held = (name for name, one in regions if one.start <= beat < one.end)
                region = next((f" ({name})" for name in held), "")
                return f"memory beat {beat}, byte {rest}{region}"
            case Space.STREAM:
                beat, rest = divmod(byte, width)
                return f"weight stream, beat {beat} of this LD.W, byte {rest}"
            case Space.REGISTER:
                return f"register r{retired.values['rd']}"
            case Space.BEST:
                return "index found by ARGMAX"


def _element(space: Space, raw: bytes | None) -> str:
    """The bits of an element, and what they mean."""
    if raw is None:
        return "not written"
    bits = int.from_bytes(raw, "little")
    text = f"{bits:#0{2 + 2 * len(raw)}x}"
    match space:
        case Space.VECTOR | Space.MEMORY if len(raw) == 4:
            return f"{text} ({np.frombuffer(raw, '<f4')[0]!s})"
        case Space.ACTIVATIONS | Space.STAGING:
            return f"{text} ({int.from_bytes(raw, 'little', signed=True)})"
        case Space.SCALES:
            return f"{text} ({np.frombuffer(bytes(2) + raw, '<f4')[0]!s})"
        case Space.SIDES:
            total, exponent = _signed(bits >> 8, 14), _signed(bits >> 22, 10)
            return f"{text} (scale {bits & 0xFF}, sum {total}, exponent {exponent})"
        case Space.REGISTER | Space.BEST:
            return f"{text} ({bits})"
    return text


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (value >> bits - 1 << bits)
