"""From an instruction word to what an engine receives, generated from `alula.isa`."""

from __future__ import annotations

from collections.abc import Iterable

from amaranth.hdl import Array, Cat, Const, Module, Shape, Signal, Value
from amaranth.lib import data, enum
from amaranth.lib.wiring import Component, In, Out

from alula.isa.encoding import ENGINE_BITS, OPCODE_BITS, WORD_BYTES
from alula.isa.encoding import layout as fields_of
from alula.isa.fields import REGISTER_BITS, Choice, Field, Immediate, Operand, Register
from alula.isa.instructions import BY_NAME, INSTRUCTIONS, Engine, Instruction

__all__ = [
    "ENGINES",
    "MAX_SOURCES",
    "PORTS",
    "WORD_BITS",
    "Decoder",
    "Legality",
    "carried",
    "codes",
    "layout",
    "opcode",
    "sources",
]

WORD_BITS = 8 * WORD_BYTES
PORTS = 3
"""Sources that are resolved in one cycle."""
ENGINES = tuple(engine for engine in Engine if engine is not Engine.SYS)
"""The engines that have a queue."""


class Legality(enum.Enum, shape=2):
    """Whether a word means something; the first that applies."""

    LEGAL = 0
    OPCODE = 1
    RESERVED = 2
    STRAY = 3


def opcode(name: str) -> int:
    """The code of the instruction called `name`."""
    return BY_NAME[name].opcode


def codes(engine: Engine) -> tuple[Instruction, ...]:
    """The instructions of an engine."""
    return tuple(item for item in INSTRUCTIONS if item.engine == engine)


def sources(instruction: Instruction) -> tuple[tuple[Operand | Register, int], ...]:
    """The fields that are read as `R[register] + immediate`, in order, each with its lowest bit.

    `rd` of a SYS instruction is written, so it is none of them.
    """
    return tuple(
        (item, bit)
        for item, bit in fields_of(instruction)
        if isinstance(item, Operand) or (isinstance(item, Register) and item.name != "rd")
    )


MAX_SOURCES = max(len(sources(item)) for item in INSTRUCTIONS)
STEPS = -(-MAX_SOURCES // PORTS)


def _width(item: Field) -> int:
    return 32 if isinstance(item, Operand | Register) else item.width


def carried(code: Value, engine: Engine, name: str) -> Value:
    """Whether an engine's instruction of this opcode has a field of this name."""
    return code.matches(
        *(item.opcode for item in codes(engine) if name in {field.name for field in item.fields})
    )


def layout(engine: Engine) -> data.FlexibleLayout:
    """What an engine receives: `opcode`, then each name among its instructions' fields.

    Operands and registers are resolved, 32 bits; immediates and choices are as wide as declared,
    the widest where a name has several widths. Fields that no instruction has together may share
    bits: a field has a meaning only where the instruction has it.
    """
    fields = {"opcode": data.Field(OPCODE_BITS, 0)}
    end = OPCODE_BITS
    widths: dict[str, int] = {}
    for instruction in codes(engine):
        for item in instruction.fields:
            widths[item.name] = max(widths.get(item.name, 0), _width(item))
    slots = _slots(engine)
    for name, width in widths.items():
        if name not in slots:
            fields[name] = data.Field(width, end)
            end += width
    for name, slot in slots.items():
        fields[name] = data.Field(32, end + 32 * slot)
    size = max(field.offset + field.width for field in fields.values())
    return data.FlexibleLayout(size, fields)


def _slots(engine: Engine) -> dict[str, int]:
    """A place of 32 bits for each source, the same in all instructions of an engine.

    It is, if it can be, the source's position in the instructions, so that little must be moved.
    """
    positions: dict[str, list[int]] = {}
    rivals: dict[str, set[str]] = {}
    for instruction in codes(engine):
        names = [item.name for item, _ in sources(instruction)]
        for position, name in enumerate(names):
            positions.setdefault(name, []).append(position)
            rivals.setdefault(name, set()).update(names)
    slots: dict[str, int] = {}
    for name, seen in positions.items():
        taken = {slots[rival] for rival in rivals[name] if rival in slots}
        wanted = sorted(set(seen), key=lambda position: (-seen.count(position), position))
        slots[name] = next(slot for slot in (*wanted, *range(len(positions))) if slot not in taken)
    return slots


class _Mux:
    """A value for each of some opcodes."""

    def __init__(self, code: Value) -> None:
        self._code = code

    def choose(
        self,
        m: Module,
        target: Value,
        cases: Iterable[tuple[int, Value]],
        *,
        others_are_zero: bool = True,
    ) -> None:
        """Drive `target`, grouping opcodes that choose the same bits.

        With the other opcodes it is zero, or, if that does not matter, what most opcodes choose.
        """
        grouped: dict[str, tuple[Value, list[int]]] = {}
        for number, value in cases:
            grouped.setdefault(repr(value), (value, []))[1].append(number)
        if not others_are_zero:
            usual = max(grouped, key=lambda name: len(grouped[name][1]))
            m.d.comb += target.eq(grouped.pop(usual)[0])
        with m.Switch(self._code):
            for value, numbers in grouped.values():
                with m.Case(*numbers):
                    m.d.comb += target.eq(value)


class Decoder(Component):
    """Splits an instruction word; combinational.

    Members:
        word: The instruction.
        step: Which three sources `refs` shows.
        values: The sources, resolved.
        opcode, engine, wait, signal: The parts that every instruction has.
        legality: Whether `decode` of `alula.isa` would accept the word.
        refs: Register and offset of the sources `PORTS * step` onwards, zero beyond the last.
        last_step: `step` is the last that this instruction needs.
        rd: The register that a SYS instruction writes, 0 if none.
        body, value: Immediates of LOOP and LI.
        command_ld, command_st, ...: The command for an engine, if `engine` is that engine; what
            the instruction has no field for is anything.
    """

    def __init__(self) -> None:
        members: dict[str, In | Out] = {
            "word": In(WORD_BITS),
            "step": In(range(STEPS)),
            "values": In(data.ArrayLayout(32, MAX_SOURCES)),
            "opcode": Out(OPCODE_BITS),
            "engine": Out(range(len(Engine))),
            "wait": Out(ENGINE_BITS),
            "signal": Out(ENGINE_BITS),
            "legality": Out(Legality),
            "refs": Out(
                data.ArrayLayout(
                    data.StructLayout({"register": REGISTER_BITS, "offset": 32}), PORTS
                )
            ),
            "last_step": Out(1),
            "rd": Out(REGISTER_BITS),
            "body": Out(BY_NAME["LOOP"].field("body").width),
            "value": Out(BY_NAME["LI"].field("value").width),
        }
        for engine in ENGINES:
            members[f"command_{engine.name.lower()}"] = Out(layout(engine))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        word = self.word
        code = word[:OPCODE_BITS]
        m.d.comb += [
            Cat(self.opcode, self.wait, self.signal).eq(word),
        ]
        mux = _Mux(code)
        mux.choose(m, self.engine, ((i.opcode, Const(int(i.engine), 3)) for i in INSTRUCTIONS))
        self._check(m, code)
        self._sources(m, mux)
        for name in ("rd", "body", "value"):
            cases = [
                (instruction.opcode, self._bits(item, bit))
                for instruction in codes(Engine.SYS)
                for item, bit in fields_of(instruction)
                if item.name == name and not isinstance(item, Operand)
            ]
            mux.choose(m, getattr(self, name), cases)
        for engine in ENGINES:
            self._assemble(m, mux, engine)
        return m

    def _bits(self, item: Field, bit: int) -> Value:
        return self.word[bit : bit + item.width]

    def _check(self, m: Module, code: Value) -> None:
        m.d.comb += self.legality.eq(Legality.OPCODE)
        with m.Switch(code):
            for instruction in INSTRUCTIONS:
                with m.Case(instruction.opcode):
                    placed = fields_of(instruction)
                    end = OPCODE_BITS + 2 * ENGINE_BITS
                    for item, bit in placed:
                        end = bit + item.width
                    stray = self.word[end:].any() if end < WORD_BITS else Const(0, 1)
                    m.d.comb += self.legality.eq(Legality.LEGAL)
                    with m.If(stray):
                        m.d.comb += self.legality.eq(Legality.STRAY)
                    for item, bit in placed:
                        if isinstance(item, Choice):
                            reserved = [
                                number
                                for number in range(1 << item.width)
                                if number >= len(item.choices) or not item.choices[number]
                            ]
                            if reserved:
                                with m.If(self._bits(item, bit).matches(*reserved)):
                                    m.d.comb += self.legality.eq(Legality.RESERVED)

    def _sources(self, m: Module, mux: _Mux) -> None:
        steps = Signal(range(STEPS))
        mux.choose(
            m,
            steps,
            (
                (i.opcode, Const((max(len(sources(i)), 1) - 1) // PORTS, Shape.cast(range(STEPS))))
                for i in INSTRUCTIONS
            ),
        )
        m.d.comb += self.last_step.eq(self.step == steps)
        for port in range(PORTS):
            registers, offsets = [], []
            for step in range(STEPS):
                register = Signal(REGISTER_BITS, name=f"register_{port}_{step}")
                offset = Signal(32, name=f"offset_{port}_{step}")
                position = PORTS * step + port
                present = [
                    (i.opcode, *sources(i)[position])
                    for i in INSTRUCTIONS
                    if len(sources(i)) > position
                ]
                mux.choose(
                    m,
                    register,
                    ((number, self.word[bit : bit + REGISTER_BITS]) for number, _, bit in present),
                )
                mux.choose(
                    m,
                    offset,
                    (
                        (number, self.word[bit + REGISTER_BITS : bit + item.width])
                        for number, item, bit in present
                        if item.width > REGISTER_BITS
                    ),
                )
                registers.append(register)
                offsets.append(offset)
            m.d.comb += [
                self.refs[port].register.eq(Array(registers)[self.step]),
                self.refs[port].offset.eq(Array(offsets)[self.step]),
            ]

    def _assemble(self, m: Module, mux: _Mux, engine: Engine) -> None:
        command = getattr(self, f"command_{engine.name.lower()}")
        shapes = layout(engine)
        m.d.comb += command.opcode.eq(self.opcode)
        cases: dict[tuple[int, int], list[tuple[int, Value]]] = {}
        for instruction in codes(engine):
            positions = {item.name: index for index, (item, _) in enumerate(sources(instruction))}
            for item, bit in fields_of(instruction):
                if item.name in positions:
                    value = self.values[positions[item.name]]
                else:
                    assert isinstance(item, Immediate | Choice)
                    value = self._bits(item, bit)
                place = shapes[item.name]
                cases.setdefault((place.offset, place.width), []).append(
                    (instruction.opcode, value)
                )
        for (offset, width), chosen in cases.items():
            whole = Signal(width, name=f"{engine.name.lower()}_{offset}")
            mux.choose(m, whole, chosen, others_are_zero=False)
            m.d.comb += command.as_value()[offset : offset + width].eq(whole)
