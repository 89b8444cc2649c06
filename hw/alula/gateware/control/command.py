"""From an instruction word to what an engine receives, generated from `alula.isa`."""

import functools
import operator
from collections.abc import Iterable

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, ValueLike
from amaranth.lib import data, enum
from amaranth.lib.wiring import Component, In, Member, Out

from alula.isa.encoding import ENGINE_BITS, INSTRUCTION_BYTES, OPCODE_BITS
from alula.isa.encoding import layout as fields_of
from alula.isa.fields import REGISTER_BITS, Choice, Field, Immediate, Operand, RegisterField
from alula.isa.instructions import BY_NAME, INSTRUCTIONS, Engine, Instruction

WORD_BITS = 8 * INSTRUCTION_BYTES
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


def sources(instruction: Instruction) -> tuple[tuple[Operand | RegisterField, int], ...]:
    """The fields that are read as `R[register] + immediate`, in order, each with its lowest bit.

    `rd` of a SYS instruction is written, so it is none of them.
    """
    return tuple(
        (item, bit)
        for item, bit in fields_of(instruction)
        if isinstance(item, Operand) or (isinstance(item, RegisterField) and item.name != "rd")
    )


MAX_SOURCES = max(len(sources(item)) for item in INSTRUCTIONS)
STEPS = -(-MAX_SOURCES // PORTS)


REFERENCE = data.StructLayout({"register": REGISTER_BITS, "offset": 32})
"""A source: what is added to a register."""
SYSTEM = data.StructLayout({item.name: 1 for item in codes(Engine.SYS)})
"""The instructions of SYS, a bit each."""


def _reserved(item: Field) -> tuple[int, ...]:
    """The numbers of a choice that mean nothing."""
    if not isinstance(item, Choice):
        return ()
    choices = (*item.choices, *[None] * ((1 << item.width) - len(item.choices)))
    return tuple(number for number, choice in enumerate(choices) if not choice)


def _bits(word: Value, item: Field, bit: int) -> Value:
    return word[bit : bit + item.width]


def _width(item: Field) -> int:
    return 32 if isinstance(item, Operand | RegisterField) else item.width


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
    """A value for each of some opcodes.

    Args:
        m: Where registers are made.
        code: The opcode, in a cycle in which `comes` is high; what it chooses is known from the
            next one on.
        comes: The opcode is there.
        late: It is late in that cycle: each opcode has a register, not each set of some.
    """

    def __init__(self, m: Module, code: Value, *, comes: ValueLike, late: bool = False) -> None:
        self._m, self._code, self._comes, self._late = m, code, comes, late
        self._among: dict[tuple[int, ...], Signal] = {}

    def is_among(self, numbers: Iterable[int]) -> Signal:
        """Whether the opcode is one of these."""
        key = tuple(sorted(numbers))
        if key not in self._among:
            self._among[key] = among = Signal(name=f"is_{'_'.join(map(str, key))}")
            if self._late and len(key) > 1:
                self._m.d.comb += among.eq(Cat(self.is_among([number]) for number in key).any())
            else:
                with self._m.If(self._comes):
                    self._m.d.sync += among.eq(self._code.matches(*key))
        return self._among[key]

    def choose(self, cases: Iterable[tuple[int, Value]], *, others_are_zero: bool = True) -> Value:
        """Return what an opcode chooses: ANDs of values with sets of opcodes, and an OR of them.

        With the other opcodes it is zero, or, if that does not matter, anything.
        """
        grouped: dict[str, tuple[Value, list[int]]] = {}
        for number, value in cases:
            grouped.setdefault(repr(value), (value, []))[1].append(number)
        if len(grouped) == 1 and not others_are_zero:
            return next(iter(grouped.values()))[0]
        terms: list[Value] = [
            Mux(self.is_among(numbers), value, 0) for value, numbers in grouped.values()
        ]
        while len(terms) > 1:
            terms = [
                functools.reduce(operator.or_, terms[i : i + 2]) for i in range(0, len(terms), 2)
            ]
        return terms[0] if terms else Const(0, 1)


class Decoder(Component):
    """Splits an instruction word. What depends on its opcode alone is found as the word comes.

    Members:
        word: An instruction. enable: It is taken; all else is of the word that was taken last.
        held: The word. wait, signal: The parts of it that every instruction has.
        engine: Whose instruction it is, a bit for each of `Engine`; none if the opcode has no
            meaning. system: Which of those of SYS, a bit each.
        legality: Whether `decode` of `alula.isa` would accept the word.
        refs: RegisterField and offset of each source, zero beyond the last.
        last_step: Which step, of `PORTS` sources each, is the last that this instruction needs.
        rd: The register that a SYS instruction writes, 0 if none.
        body, value: Immediates of LOOP and LI.
    """

    word: In(WORD_BITS)
    enable: In(1)
    held: Out(WORD_BITS)
    engine: Out(len(Engine))
    system: Out(SYSTEM)
    wait: Out(ENGINE_BITS)
    signal: Out(ENGINE_BITS)
    legality: Out(Legality)
    refs: Out(data.ArrayLayout(REFERENCE, MAX_SOURCES))
    last_step: Out(range(STEPS))
    rd: Out(REGISTER_BITS)
    body: Out(BY_NAME["LOOP"].field("body").width)
    value: Out(BY_NAME["LI"].field("value").width)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        held = Signal(WORD_BITS, reset_less=True)
        m.d.comb += self.held.eq(held)
        with m.If(self.enable):
            m.d.sync += held.eq(self.word)
        mux = _Mux(m, self.word[:OPCODE_BITS], comes=self.enable, late=True)
        m.d.comb += Cat(self.wait, self.signal).eq(self.held[OPCODE_BITS:])
        for engine in Engine:
            m.d.comb += self.engine[engine].eq(mux.is_among(item.opcode for item in codes(engine)))
        for item in codes(Engine.SYS):
            m.d.comb += self.system[item.name].eq(mux.is_among([item.opcode]))
        self._check(m, mux)
        self._sources(m, mux)
        for name in ("rd", "body", "value"):
            places = [
                (instruction.opcode, item, bit)
                for instruction in codes(Engine.SYS)
                for item, bit in fields_of(instruction)
                if item.name == name and not isinstance(item, Operand)
            ]
            cases = [(code, _bits(self.held, item, bit)) for code, item, bit in places]
            # What only one instruction has is looked at for that one alone.
            chosen = mux.choose(cases) if len(cases) > 1 else cases[0][1]
            m.d.comb += getattr(self, name).eq(chosen)
        return m

    def _check(self, m: Module, mux: _Mux) -> None:
        """The first that applies is reported: opcode, reserved choices, stray bits."""
        ends: dict[int, list[int]] = {}
        reserved: dict[tuple[int, int, tuple[int, ...]], list[int]] = {}
        for instruction in INSTRUCTIONS:
            end = OPCODE_BITS + 2 * ENGINE_BITS
            for item, bit in fields_of(instruction):
                end = bit + item.width
                numbers = _reserved(item)
                if numbers:
                    reserved.setdefault((bit, item.width, numbers), []).append(instruction.opcode)
            if end < WORD_BITS:
                ends.setdefault(end, []).append(instruction.opcode)
        strays = [self.held[end:].any() & mux.is_among(items) for end, items in ends.items()]
        means_nothing = [
            self.held[bit : bit + width].matches(*numbers) & mux.is_among(items)
            for (bit, width, numbers), items in reserved.items()
        ]
        with m.If(~mux.is_among(item.opcode for item in INSTRUCTIONS)):
            m.d.comb += self.legality.eq(Legality.OPCODE)
        with m.Elif(Cat(means_nothing).any()):
            m.d.comb += self.legality.eq(Legality.RESERVED)
        with m.Elif(Cat(strays).any()):
            m.d.comb += self.legality.eq(Legality.STRAY)

    def _sources(self, m: Module, mux: _Mux) -> None:
        last = Shape.cast(range(STEPS))
        steps = ((i, Const((max(len(sources(i)), 1) - 1) // PORTS, last)) for i in INSTRUCTIONS)
        m.d.comb += self.last_step.eq(mux.choose((i.opcode, step) for i, step in steps))
        refs = []
        for position in range(MAX_SOURCES):
            present = [
                (i.opcode, *sources(i)[position])
                for i in INSTRUCTIONS
                if len(sources(i)) > position
            ]
            register = Signal(REGISTER_BITS, name=f"register_{position}")
            offset = Signal(32, name=f"offset_{position}")
            m.d.comb += [
                register.eq(
                    mux.choose(
                        (number, self.held[bit : bit + REGISTER_BITS]) for number, _, bit in present
                    )
                ),
                offset.eq(
                    mux.choose(
                        (number, self.held[bit + REGISTER_BITS : bit + item.width])
                        for number, item, bit in present
                        if item.width > REGISTER_BITS
                    )
                ),
            ]
            refs += [register, offset]
        m.d.comb += self.refs.as_value().eq(Cat(refs))


class Assembler(Component):
    """Puts together what an engine receives.

    Members:
        word: The instruction, from the cycle before.
        values: Its sources, resolved.
        command_ld, command_st, ...: The command for an engine, if the instruction is for that
            engine; what the instruction has no field for is anything.
    """

    def __init__(self) -> None:
        members: dict[str, Member] = {
            "word": In(WORD_BITS),
            "values": In(data.ArrayLayout(32, MAX_SOURCES)),
        }
        for engine in ENGINES:
            members[f"command_{engine.name.lower()}"] = Out(layout(engine))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        code = self.word[:OPCODE_BITS]
        mux = _Mux(m, code, comes=1)
        for engine in ENGINES:
            command = getattr(self, f"command_{engine.name.lower()}")
            m.d.comb += command.opcode.eq(code)
            for (offset, width), cases in self._fields(engine).items():
                whole = Signal(width, name=f"{engine.name.lower()}_{offset}")
                m.d.comb += [
                    whole.eq(mux.choose(cases, others_are_zero=False)),
                    command.as_value()[offset : offset + width].eq(whole),
                ]
        return m

    def _fields(self, engine: Engine) -> dict[tuple[int, int], list[tuple[int, Value]]]:
        """For each place and width in a command, what an opcode puts there."""
        shapes = layout(engine)
        found: dict[tuple[int, int], list[tuple[int, Value]]] = {}
        for instruction in codes(engine):
            positions = {item.name: index for index, (item, _) in enumerate(sources(instruction))}
            for item, bit in fields_of(instruction):
                if item.name in positions:
                    value = self.values[positions[item.name]]
                else:
                    assert isinstance(item, Immediate | Choice)
                    value = _bits(self.word, item, bit)
                place = shapes[item.name]
                case = (instruction.opcode, value)
                found.setdefault((place.offset, place.width), []).append(case)
        return found
