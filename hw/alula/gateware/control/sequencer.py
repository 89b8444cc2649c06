"""SYS: fetches, resolves and dispatches; runs its own instructions itself."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, enum, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.control.command import (
    ENGINES,
    MAX_SOURCES,
    PORTS,
    WORD_BITS,
    Decoder,
    Legality,
    layout,
    opcode,
)
from alula.gateware.control.divider import LATENCY as DIVISION
from alula.gateware.control.divider import Divider
from alula.gateware.control.loops import LoopStack
from alula.gateware.control.queue import ADDRESS_BITS, entry
from alula.isa.fields import REGISTER_BITS, REGISTERS
from alula.isa.instructions import Engine

__all__ = ["CYCLES", "LIMB", "Reason", "Sequencer"]

LIMB = 32
"""Bits that the host writes of an instruction at once."""
CYCLES = {"operands": 1, "execute": 1, "redirect": 3, "multiply": 3, "divide": DIVISION}
"""An instruction takes a cycle for each `PORTS` operands, at least one, and one to execute; what
leaves the straight line 3 more, MULR and DIVR these more."""


class Reason(enum.Enum, shape=4):
    """Why the sequencer stopped."""

    NONE = 0
    OPCODE = 1
    RESERVED = 2
    STRAY = 3
    RUNAWAY = 4
    DIVISION = 5
    LOOP_BODY = 6
    LOOP_DEPTH = 7
    STREAM_LEFT = 8


class State(enum.Enum, shape=4):
    """What the sequencer does in a cycle."""

    IDLE = 0
    FETCH = 1
    LOAD = 2
    RESOLVE = 3
    EXECUTE = 4
    MULTIPLY = 5
    DIVIDE = 6
    CHECK = 7
    DRAIN = 8


class Sequencer(Component):
    """Program memory, 32 registers, 4 loops; dispatches to five queues.

    Instructions leave in program order. One takes `CYCLES`; where a queue is full or a token of a
    SYS instruction is missing, the sequencer waits.

    Args:
        program_words: Instructions that the program memory holds.

    Members:
        program: Write port of the program memory; `mask` chooses words of 32 bits.
        setting: Write port of the registers. Both are for the time when it does not run.
        length: Instructions of the program.
        start: Begin at address 0; only where not `running`.
        clear: Stop at once and forget the reason; registers and program stay.
        halt: Take no further instruction (an engine has stopped on a fault).
        running: From `start` until END is over or a fault stopped it.
        ended: For one cycle, END is over.
        reason: Why it stopped, sticky until `clear` or `start`.
        address: Of the instruction being executed; of the one to blame where there is a reason.
        waiting: It waits for a token, a queue or, at END, an engine. blocked: It is a queue.
        retired: For one cycle, a SYS instruction is over.
        argmax: What ARG reads.
        engines_busy, stream_empty: What END waits for and checks.
        wait, available, take, signal, give: To `Tokens`.
        push_ld, push_st, ...: To the queues.
    """

    def __init__(self, *, program_words: int) -> None:
        if not 1 <= program_words <= 1 << ADDRESS_BITS:
            raise ValueError(f"program_words must be 1..{1 << ADDRESS_BITS}, not {program_words}")
        self.program_words = program_words
        place = range(program_words + 1)
        members: dict[str, In | Out] = {
            "program": In(
                data.StructLayout(
                    {
                        "enable": 1,
                        "address": ADDRESS_BITS,
                        "data": WORD_BITS,
                        "mask": WORD_BITS // LIMB,
                    }
                )
            ),
            "setting": In(data.StructLayout({"enable": 1, "index": REGISTER_BITS, "value": 32})),
            "length": In(place),
            "start": In(1),
            "clear": In(1),
            "halt": In(1),
            "running": Out(1),
            "ended": Out(1),
            "reason": Out(Reason),
            "address": Out(ADDRESS_BITS),
            "waiting": Out(1),
            "blocked": Out(1),
            "retired": Out(1),
            "argmax": In(32),
            "engines_busy": In(1),
            "stream_empty": In(1),
            "wait": Out(len(Engine)),
            "available": In(1),
            "take": Out(1),
            "signal": Out(len(Engine)),
            "give": Out(1),
        }
        for engine in ENGINES:
            members[f"push_{engine.name.lower()}"] = Out(stream.Signature(entry(layout(engine))))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        now = _Now(self.program_words)
        decoder, loops, state, place = now.decoder, now.loops, now.state, now.place
        m.submodules.decoder, m.submodules.loops = decoder, loops
        m.submodules.divider = now.divider
        fetched = self._program(m, place, words_ahead := Signal())
        self._resolve(m, now)
        accepted = self._offer(m, now)
        m.d.comb += [
            loops.start.eq(place + 1),
            loops.end.eq(now.body_end),
            loops.count.eq(now.values[0]),
        ]
        with m.Switch(state):
            with m.Case(State.IDLE), m.If(self.start):
                m.d.comb += loops.clear.eq(1)
                m.d.sync += [place.eq(0), self.reason.eq(Reason.NONE)]
                m.d.sync += state.eq(State.FETCH)
            with m.Case(State.FETCH):
                m.d.sync += state.eq(State.LOAD)
            with m.Case(State.LOAD):
                m.d.sync += [now.word.eq(fetched), now.step.eq(0)]
                m.d.sync += state.eq(State.RESOLVE)
            with m.Case(State.RESOLVE):
                m.d.comb += words_ahead.eq(1)
                self._check(m, now)
            with m.Case(State.EXECUTE):
                m.d.comb += words_ahead.eq(1)
                with m.If(self.halt):
                    pass
                with m.Elif(decoder.engine == int(Engine.SYS)):
                    self._execute(m, now)
                with m.Else():
                    m.d.comb += [
                        now.offered.eq(1),
                        now.finished.eq(accepted),
                        self.waiting.eq(~accepted),
                        self.blocked.eq(~accepted),
                    ]
            with m.Case(State.MULTIPLY):
                m.d.comb += words_ahead.eq(1)
                m.d.sync += now.countdown.eq(now.countdown - 1)
                m.d.comb += now.finished.eq(now.countdown == 0)
            with m.Case(State.DIVIDE):
                m.d.comb += [words_ahead.eq(1), now.finished.eq(now.divider.done)]
            with m.Case(State.CHECK):
                with m.If(~loops.empty & (place == loops.top_end)):
                    m.d.comb += loops.turn.eq(1)
                    with m.If(loops.again):
                        m.d.sync += place.eq(loops.top_start)
                        m.d.sync += state.eq(State.FETCH)
                with m.Else():
                    m.d.sync += state.eq(State.FETCH)
            with m.Case(State.DRAIN):
                self._drain(m, now)
        self._advance(m, now, fetched)
        with m.If(self.clear):
            m.d.sync += self.reason.eq(Reason.NONE)
            m.d.sync += state.eq(State.IDLE)
        m.d.comb += [self.running.eq(state != State.IDLE), self.address.eq(place)]
        return m

    def _stop(self, m: Module, now: _Now, reason: Reason) -> None:
        m.d.sync += self.reason.eq(reason)
        m.d.sync += now.state.eq(State.IDLE)

    def _resolve(self, m: Module, now: _Now) -> None:
        """Read the operands of a step, and add what the instruction adds to them."""
        decoder, values = now.decoder, now.values
        reads = self._registers(m, now)
        m.d.comb += [
            decoder.word.eq(now.word),
            decoder.step.eq(now.step),
            decoder.values.eq(values),
            self.signal.eq(decoder.signal),
            now.divider.dividend.eq(values[0]),
            now.divider.divisor.eq(values[1]),
        ]
        for port, (index, value) in enumerate(reads):
            m.d.comb += index.eq(decoder.refs[port].register)
            resolved = (value + decoder.refs[port].offset)[:32]
            for position in range(port, MAX_SOURCES, PORTS):
                with m.If((now.state == State.RESOLVE) & (now.step == position // PORTS)):
                    m.d.sync += values[position].eq(resolved)

    def _offer(self, m: Module, now: _Now) -> Signal:
        """Offer the instruction to its engine's queue while `offered`. Return whether it goes."""
        decoder = now.decoder
        accepted = Signal()
        for engine in ENGINES:
            push = getattr(self, f"push_{engine.name.lower()}")
            mine = decoder.engine == int(engine)
            m.d.comb += [
                push.payload.address.eq(now.place),
                push.payload.wait.eq(decoder.wait),
                push.payload.signal.eq(decoder.signal),
                push.payload.command.eq(getattr(decoder, f"command_{engine.name.lower()}")),
                push.valid.eq(now.offered & mine),
            ]
            with m.If(mine):
                m.d.comb += accepted.eq(push.ready)
        return accepted

    def _check(self, m: Module, now: _Now) -> None:
        """A step of RESOLVE: what is no instruction stops the program."""
        decoder, place = now.decoder, now.place
        m.d.sync += [now.step.eq(now.step + 1), now.body_end.eq(place + 1 + decoder.body)]
        with m.If(self.halt):
            m.d.sync += now.step.eq(now.step)
        with m.Elif(place >= self.length):
            self._stop(m, now, Reason.RUNAWAY)
        with m.Elif(decoder.legality == Legality.OPCODE):
            self._stop(m, now, Reason.OPCODE)
        with m.Elif(decoder.legality == Legality.RESERVED):
            self._stop(m, now, Reason.RESERVED)
        with m.Elif(decoder.legality == Legality.STRAY):
            self._stop(m, now, Reason.STRAY)
        with m.Elif(decoder.last_step):
            m.d.sync += now.state.eq(State.EXECUTE)

    def _execute(self, m: Module, now: _Now) -> None:
        """An instruction of SYS, once its tokens are there."""
        decoder, loops, values = now.decoder, now.loops, now.values
        limit = Signal(range(self.program_words + 1))
        m.d.comb += [
            limit.eq(Mux(loops.empty, self.length, loops.top_end)),
            self.wait.eq(decoder.wait),
            self.take.eq(self.available),
            self.waiting.eq(~self.available),
        ]
        with m.If(self.available):
            m.d.comb += now.finished.eq(1)
            with m.Switch(decoder.opcode):
                with m.Case(opcode("LOOP")):
                    with m.If(now.body_end > limit):
                        m.d.comb += now.finished.eq(0)
                        self._stop(m, now, Reason.LOOP_BODY)
                    with m.Elif((values[0] == 0) | (decoder.body == 0)):
                        m.d.sync += now.place.eq(now.body_end)
                        m.d.sync += now.state.eq(State.CHECK)
                    with m.Elif(loops.full):
                        m.d.comb += now.finished.eq(0)
                        self._stop(m, now, Reason.LOOP_DEPTH)
                    with m.Else():
                        m.d.comb += loops.push.eq(1)
                with m.Case(opcode("MULR")):
                    m.d.comb += now.finished.eq(0)
                    m.d.sync += now.countdown.eq(CYCLES["multiply"] - 1)
                    m.d.sync += now.state.eq(State.MULTIPLY)
                with m.Case(opcode("DIVR")):
                    m.d.comb += [now.finished.eq(0), now.divider.start.eq(1)]
                    m.d.sync += now.state.eq(State.DIVIDE)
                    with m.If(values[1] == 0):
                        self._stop(m, now, Reason.DIVISION)
                with m.Case(opcode("END")):
                    m.d.comb += now.finished.eq(0)
                    m.d.sync += now.state.eq(State.DRAIN)

    def _drain(self, m: Module, now: _Now) -> None:
        """END waits for the engines."""
        m.d.comb += self.waiting.eq(1)
        with m.If(~self.engines_busy & ~self.halt):
            m.d.sync += now.state.eq(State.IDLE)
            with m.If(self.stream_empty):
                m.d.comb += [self.give.eq(1), self.retired.eq(1), self.ended.eq(1)]
            with m.Else():
                self._stop(m, now, Reason.STREAM_LEFT)

    def _advance(self, m: Module, now: _Now, fetched: Value) -> None:
        """Go on behind an instruction that is over; a LOOP that is skipped has gone on itself."""
        place, loops = now.place, now.loops
        skips = Signal()
        m.d.comb += skips.eq(
            (now.decoder.opcode == opcode("LOOP"))
            & ((now.values[0] == 0) | (now.decoder.body == 0))
        )
        with m.If(now.finished):
            m.d.comb += [
                self.give.eq(now.decoder.engine == int(Engine.SYS)),
                self.retired.eq(now.decoder.engine == int(Engine.SYS)),
            ]
            with m.If(~skips):
                m.d.sync += [place.eq(place + 1), now.word.eq(fetched), now.step.eq(0)]
                with m.If(~loops.empty & (place + 1 == loops.top_end)):
                    m.d.sync += now.state.eq(State.CHECK)
                with m.Else():
                    m.d.sync += now.state.eq(State.RESOLVE)

    def _program(self, m: Module, place: Signal, ahead: Signal) -> Signal:
        """The program memory; its read port shows the word at `place`, or the next if `ahead`."""
        m.submodules.memory = memory = Memory(
            shape=unsigned(WORD_BITS), depth=self.program_words, init=[]
        )
        write, read = memory.write_port(granularity=LIMB), memory.read_port()
        m.d.comb += [
            write.addr.eq(self.program.address),
            write.data.eq(self.program.data),
            write.en.eq(Mux(self.program.enable, self.program.mask, 0)),
            read.addr.eq(place + ahead),
        ]
        return read.data

    def _registers(self, m: Module, now: _Now) -> list[tuple[Value, Value]]:
        """The registers: index and value of each read port. Register 0 is never written."""
        m.submodules.registers = registers = Memory(shape=unsigned(32), depth=REGISTERS, init=[])
        write = registers.write_port()
        m.d.comb += [
            write.addr.eq(now.decoder.rd),
            write.data.eq(self._result(m, now)),
            write.en.eq(now.finished & (now.decoder.rd != 0)),
        ]
        with m.If(~self.running):
            m.d.comb += [
                write.addr.eq(self.setting.index),
                write.data.eq(self.setting.value),
                write.en.eq(self.setting.enable & (self.setting.index != 0)),
            ]
        reads = [registers.read_port(domain="comb") for _ in range(PORTS)]
        return [(port.addr, port.data) for port in reads]

    def _result(self, m: Module, now: _Now) -> Signal:
        """What the instruction writes into a register."""
        values, rd_value = now.values, Signal(32)
        product_next, product = Signal(32), Signal(32)
        m.d.sync += [product_next.eq((values[0] * values[1])[:32]), product.eq(product_next)]
        with m.Switch(now.decoder.opcode):
            for name, value in {
                "LI": now.decoder.value,
                "ADDR": values[0] + values[1],
                "SUBR": values[0] - values[1],
                "MULR": product,
                "DIVR": now.divider.quotient,
                "MINR": Mux(values[0] < values[1], values[0], values[1]),
                "ARG": self.argmax,
            }.items():
                with m.Case(opcode(name)):
                    m.d.comb += rd_value.eq(value)
        return rd_value


class _Now:
    """The instruction at hand: where it is, its operands, what works on it, how far it is.

    `offered`: to an engine; `finished`: it is over, in its last cycle.
    """

    def __init__(self, program_words: int) -> None:
        self.place = Signal(range(program_words + 1))
        self.decoder, self.divider = Decoder(), Divider()
        self.loops = LoopStack(place_bits=len(self.place))
        self.state = Signal(State)
        self.word, self.step = Signal(WORD_BITS), Signal(range(-(-MAX_SOURCES // PORTS)))
        self.values = Signal(data.ArrayLayout(32, MAX_SOURCES))
        self.body_end = Signal(range(program_words + (1 << len(self.decoder.body)) + 1))
        self.countdown = Signal(range(4))
        self.offered, self.finished = Signal(), Signal()
