"""SYS: fetches, resolves and dispatches; runs its own instructions itself."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, unsigned
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

    Parameters:
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
        state = Signal(State)
        place = Signal(range(self.program_words + 1))
        word = Signal(WORD_BITS)
        step = Signal(range(-(-MAX_SOURCES // PORTS)))
        values = Signal(data.ArrayLayout(32, MAX_SOURCES))
        m.submodules.decoder = decoder = Decoder()
        m.submodules.loops = loops = LoopStack(place_bits=len(place))
        m.submodules.divider = divider = Divider()
        fetched = self._program(m, place, words_ahead := Signal())
        reads = self._registers(m, rd_write := Signal(), rd_value := Signal(32), decoder.rd)
        m.d.comb += [
            decoder.word.eq(word),
            decoder.step.eq(step),
            decoder.values.eq(values),
            self.address.eq(place),
            self.signal.eq(decoder.signal),
            divider.dividend.eq(values[0]),
            divider.divisor.eq(values[1]),
        ]
        for port, (index, value) in enumerate(reads):
            m.d.comb += index.eq(decoder.refs[port].register)
            resolved = (value + decoder.refs[port].offset)[:32]
            for position in range(port, MAX_SOURCES, PORTS):
                with m.If((state == State.RESOLVE) & (step == position // PORTS)):
                    m.d.sync += values[position].eq(resolved)

        offered = Signal()
        accepted = Signal()
        for engine in ENGINES:
            push = getattr(self, f"push_{engine.name.lower()}")
            mine = decoder.engine == int(engine)
            m.d.comb += [
                push.payload.address.eq(place),
                push.payload.wait.eq(decoder.wait),
                push.payload.signal.eq(decoder.signal),
                push.payload.command.eq(getattr(decoder, f"command_{engine.name.lower()}")),
                push.valid.eq(offered & mine),
            ]
            with m.If(mine):
                m.d.comb += accepted.eq(push.ready)

        limit = Signal(range(self.program_words + 1))
        body_end = Signal(range(self.program_words + (1 << len(decoder.body)) + 1))
        m.d.comb += [
            limit.eq(Mux(loops.empty, self.length, loops.top_end)),
            loops.start.eq(place + 1),
            loops.end.eq(body_end),
            loops.count.eq(values[0]),
        ]
        product = Signal(32)
        product_next = Signal(32)
        countdown = Signal(range(4))
        finished = Signal()
        m.d.sync += [product_next.eq((values[0] * values[1])[:32]), product.eq(product_next)]

        def stop(reason: Reason) -> None:
            m.d.sync += self.reason.eq(reason)
            m.d.sync += state.eq(State.IDLE)

        with m.Switch(state):
            with m.Case(State.IDLE), m.If(self.start):
                m.d.comb += loops.clear.eq(1)
                m.d.sync += [place.eq(0), self.reason.eq(Reason.NONE)]
                m.d.sync += state.eq(State.FETCH)
            with m.Case(State.FETCH):
                m.d.sync += state.eq(State.LOAD)
            with m.Case(State.LOAD):
                m.d.sync += [word.eq(fetched), step.eq(0)]
                m.d.sync += state.eq(State.RESOLVE)
            with m.Case(State.RESOLVE):
                m.d.comb += words_ahead.eq(1)
                m.d.sync += [step.eq(step + 1), body_end.eq(place + 1 + decoder.body)]
                with m.If(self.halt):
                    m.d.sync += step.eq(step)
                with m.Elif(place >= self.length):
                    stop(Reason.RUNAWAY)
                with m.Elif(decoder.legality == Legality.OPCODE):
                    stop(Reason.OPCODE)
                with m.Elif(decoder.legality == Legality.RESERVED):
                    stop(Reason.RESERVED)
                with m.Elif(decoder.legality == Legality.STRAY):
                    stop(Reason.STRAY)
                with m.Elif(decoder.last_step):
                    m.d.sync += state.eq(State.EXECUTE)
            with m.Case(State.EXECUTE):
                m.d.comb += words_ahead.eq(1)
                with m.If(self.halt):
                    pass
                with m.Elif(decoder.engine == int(Engine.SYS)):
                    m.d.comb += [
                        self.wait.eq(decoder.wait),
                        self.take.eq(self.available),
                        self.waiting.eq(~self.available),
                    ]
                    with m.If(self.available):
                        m.d.comb += finished.eq(1)
                        with m.Switch(decoder.opcode):
                            with m.Case(opcode("LOOP")):
                                with m.If(body_end > limit):
                                    m.d.comb += finished.eq(0)
                                    stop(Reason.LOOP_BODY)
                                with m.Elif((values[0] == 0) | (decoder.body == 0)):
                                    m.d.sync += place.eq(body_end)
                                    m.d.sync += state.eq(State.CHECK)
                                with m.Elif(loops.full):
                                    m.d.comb += finished.eq(0)
                                    stop(Reason.LOOP_DEPTH)
                                with m.Else():
                                    m.d.comb += loops.push.eq(1)
                            with m.Case(opcode("MULR")):
                                m.d.comb += finished.eq(0)
                                m.d.sync += countdown.eq(CYCLES["multiply"] - 1)
                                m.d.sync += state.eq(State.MULTIPLY)
                            with m.Case(opcode("DIVR")):
                                m.d.comb += [finished.eq(0), divider.start.eq(1)]
                                m.d.sync += state.eq(State.DIVIDE)
                                with m.If(values[1] == 0):
                                    stop(Reason.DIVISION)
                            with m.Case(opcode("END")):
                                m.d.comb += finished.eq(0)
                                m.d.sync += state.eq(State.DRAIN)
                with m.Else():
                    m.d.comb += [
                        offered.eq(1),
                        finished.eq(accepted),
                        self.waiting.eq(~accepted),
                        self.blocked.eq(~accepted),
                    ]
            with m.Case(State.MULTIPLY):
                m.d.comb += words_ahead.eq(1)
                m.d.sync += countdown.eq(countdown - 1)
                m.d.comb += finished.eq(countdown == 0)
            with m.Case(State.DIVIDE):
                m.d.comb += [words_ahead.eq(1), finished.eq(divider.done)]
            with m.Case(State.CHECK):
                with m.If(~loops.empty & (place == loops.top_end)):
                    m.d.comb += loops.turn.eq(1)
                    with m.If(loops.again):
                        m.d.sync += place.eq(loops.top_start)
                        m.d.sync += state.eq(State.FETCH)
                with m.Else():
                    m.d.sync += state.eq(State.FETCH)
            with m.Case(State.DRAIN):
                m.d.comb += self.waiting.eq(1)
                with m.If(~self.engines_busy & ~self.halt):
                    m.d.sync += state.eq(State.IDLE)
                    with m.If(self.stream_empty):
                        m.d.comb += [self.give.eq(1), self.retired.eq(1), self.ended.eq(1)]
                    with m.Else():
                        stop(Reason.STREAM_LEFT)

        skips = Signal()
        m.d.comb += skips.eq(
            (decoder.opcode == opcode("LOOP")) & ((values[0] == 0) | (decoder.body == 0))
        )
        with m.If(finished):
            m.d.comb += [
                self.give.eq(decoder.engine == int(Engine.SYS)),
                self.retired.eq(decoder.engine == int(Engine.SYS)),
            ]
            with m.If(~skips):
                m.d.sync += [place.eq(place + 1), word.eq(fetched), step.eq(0)]
                with m.If(~loops.empty & (place + 1 == loops.top_end)):
                    m.d.sync += state.eq(State.CHECK)
                with m.Else():
                    m.d.sync += state.eq(State.RESOLVE)
        with m.If(self.clear):
            m.d.sync += self.reason.eq(Reason.NONE)
            m.d.sync += state.eq(State.IDLE)
        m.d.comb += self.running.eq(state != State.IDLE)

        with m.Switch(decoder.opcode):
            with m.Case(opcode("LI")):
                m.d.comb += rd_value.eq(decoder.value)
            with m.Case(opcode("ADDR")):
                m.d.comb += rd_value.eq(values[0] + values[1])
            with m.Case(opcode("SUBR")):
                m.d.comb += rd_value.eq(values[0] - values[1])
            with m.Case(opcode("MULR")):
                m.d.comb += rd_value.eq(product)
            with m.Case(opcode("DIVR")):
                m.d.comb += rd_value.eq(divider.quotient)
            with m.Case(opcode("MINR")):
                m.d.comb += rd_value.eq(Mux(values[0] < values[1], values[0], values[1]))
            with m.Case(opcode("ARG")):
                m.d.comb += rd_value.eq(self.argmax)
        m.d.comb += rd_write.eq(finished & (decoder.rd != 0))
        return m

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

    def _registers(
        self, m: Module, enable: Signal, value: Signal, rd: Signal
    ) -> list[tuple[Signal, Signal]]:
        """The registers: index and value of each read port. Register 0 is never written."""
        m.submodules.registers = registers = Memory(shape=unsigned(32), depth=REGISTERS, init=[])
        write = registers.write_port()
        m.d.comb += [
            write.addr.eq(rd),
            write.data.eq(value),
            write.en.eq(enable),
        ]
        with m.If(~self.running):
            m.d.comb += [
                write.addr.eq(self.setting.index),
                write.data.eq(self.setting.value),
                write.en.eq(self.setting.enable & (self.setting.index != 0)),
            ]
        reads = [registers.read_port(domain="comb") for _ in range(PORTS)]
        return [(port.addr, port.data) for port in reads]
