"""SYS: fetches, resolves and dispatches; runs its own instructions itself."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, enum, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Member, Out

from alula.design.engines import LIMB
from alula.gateware.control.command import (
    ENGINES,
    MAX_SOURCES,
    PORTS,
    REFERENCE,
    STEPS,
    SYSTEM,
    WORD_BITS,
    Assembler,
    Decoder,
    Legality,
    layout,
)
from alula.gateware.control.divider import LATENCY as DIVISION
from alula.gateware.control.divider import Divider
from alula.gateware.control.loops import LoopStack
from alula.gateware.control.queue import ADDRESS_BITS, entry
from alula.isa.encoding import ENGINE_BITS, OPCODE_BITS
from alula.isa.fields import REGISTER_BITS, REGISTERS
from alula.isa.instructions import BY_NAME, Engine

BODY_BITS = BY_NAME["LOOP"].field("body").width
CYCLES = {
    "operands": 1,
    "execute": 1,
    "write": 1,
    "redirect": 5,
    "multiply": 4,
    "divide": DIVISION + 1,
}
"""An instruction takes a cycle for each `PORTS` operands, at least one, and one to execute; what
writes a register one more, what leaves the straight line 5 more, SMUL and SDIV these more, a LOOP
that is entered one more."""


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
        halt: Begin no further instruction (an engine has stopped on a fault).
        running: From `start` until END is over or a fault stopped it.
        ended: For one cycle, END is over, since the cycle before.
        reason: Why it stopped, sticky until `start`.
        address: Of the instruction being executed; of the one to blame where there is a reason.
        waiting: It waits for a token, a queue or, at END, an engine. blocked: It is a queue.
        retired: For one cycle, a SYS instruction is over.
        given: Address of the SYS instruction whose tokens are given.
        argmax: What ARG reads.
        engines_busy, stream_empty: What END waits for and checks.
        wait, available, take, signal, give: To `Tokens`.
        waits: `wait` is that of an instruction of SYS that has not taken its tokens.
        push_ld, push_st, ...: To the queues. One that is ready stays so until it is pushed to.
    """

    def __init__(self, *, program_words: int) -> None:
        if not 1 <= program_words <= 1 << ADDRESS_BITS:
            raise ValueError(f"program_words must be 1..{1 << ADDRESS_BITS}, not {program_words}")
        self.program_words = program_words
        place = range(program_words + 1)
        members: dict[str, Member] = {
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
            "waits": Out(1),
            "available": In(1),
            "take": Out(1),
            "signal": Out(len(Engine)),
            "give": Out(1),
            "given": Out(ADDRESS_BITS),
        }
        for engine in ENGINES:
            members[f"push_{engine.name.lower()}"] = Out(stream.Signature(entry(layout(engine))))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        now = _Now(self.program_words)
        m.submodules.decoder, m.submodules.assembler = now.decoder, now.assembler
        m.submodules.loops, m.submodules.divider = now.loops, now.divider
        accepted = self._offer(m, now)
        m.d.sync += [
            # Known a cycle ahead: much goes on from here.
            self.take.eq(
                self.available
                & ((now.resolved & now.engines[Engine.SYS]) | (now.executes & ~self.take))
            ),
            self.give.eq(self.retired),
            now.by_zero.eq(now.values[1] == 0),
            self.signal.eq(now.signal),
            self.given.eq(now.place),
            self.ended.eq(0),
            *(flag.eq(0) for flag in now.states),
        ]
        m.d.comb += [
            self.address.eq(now.place),
            self.wait.eq(now.wait),
            self.waits.eq(now.awaits),
            now.completes.eq(
                (self.take & now.system.NOP)
                | now.writing
                | (now.enters & ~(now.too_long | now.skips | now.loops.full))
            ),
            now.finished.eq(accepted | now.completes),
            now.loads.eq(now.decoding | now.finished),
            now.arrives.eq(now.loading | now.fresh),
            self.retired.eq(now.completes | now.leaves),
            self.blocked.eq(now.offers.any() & ~accepted),
            self.waiting.eq((now.executes & ~self.take) | self.blocked),
        ]
        with m.FSM(name="state"):
            with m.State("IDLE"):
                m.d.sync += now.awaits.eq(0)
                with m.If(self.start):
                    m.d.comb += now.loops.clear.eq(1)
                    m.d.sync += [self.reason.eq(Reason.NONE), self.running.eq(1)]
                    self._go(m, now, 0)
            with m.State("FETCH"):
                m.d.sync += [
                    now.after.eq(now.fetch + 1),
                    now.beyond.eq(now.place >= self.length),
                ]
                m.next = "READ"
            with m.State("READ"):
                m.d.sync += now.loading.eq(1)
                m.next = "LOAD"
            with m.State("LOAD"):
                m.next = "DECODE"
                with m.If(now.ends_before):
                    self._turn(m, now)
                with m.Else():
                    m.d.sync += now.decoding.eq(1)
            with m.State("TURN"):
                self._turn(m, now)
            with m.State("DECODE"):
                self._begin(m, now)
            with m.State("RESOLVE"):
                m.d.sync += [
                    now.beyond.eq(now.after >= self.length),
                    now.resolves.eq(~(now.refuses | now.resolved)),
                ]
                with m.If(now.refuses):
                    m.next = "IDLE"
                with m.Elif(now.resolved):
                    m.next = "EXECUTE"
            with m.State("EXECUTE"):
                with m.If(accepted):
                    self._continue(m, now)
                with m.If(self.take):
                    self._execute(m, now)
            with m.State("ENTER"):
                m.d.sync += now.enters.eq(0)
                self._enter(m, now)
            with m.State("MULTIPLY"):
                m.d.sync += now.countdown.eq(now.countdown - 1)
                with m.If(now.countdown == 0):
                    self._write(m, now)
            with m.State("DIVIDE"):
                with m.If(now.by_zero):
                    self._stop(m, Reason.DIVISION)
                with m.Elif(now.divider.done):
                    self._write(m, now)
            with m.State("WRITE"):
                self._continue(m, now)
            with m.State("DRAIN"):
                self._drain(m, now)
        self._advance(m, now)
        self._resolve(m, now)
        self._check(m, now)
        return m

    def _stop(self, m: Module, reason: Reason | Signal) -> None:
        m.d.sync += [self.reason.eq(reason), self.running.eq(0)]
        m.next = "IDLE"

    def _go(self, m: Module, now: _Now, target: Value | int) -> None:
        """Leave the straight line."""
        m.d.comb += [now.goes.eq(1), now.target.eq(target)]
        m.d.sync += [now.place.eq(target), now.fetching.eq(1)]
        m.next = "FETCH"

    def _continue(self, m: Module, now: _Now) -> None:
        """Go on behind an instruction that is over or, where a loop's body ends there, turn."""
        with m.If(now.ends):
            m.d.sync += now.turning.eq(1)
            m.next = "TURN"
        with m.Else():
            self._begin(m, now)

    def _begin(self, m: Module, now: _Now) -> None:
        """Read the operands of what is at hand, from the next cycle on."""
        m.d.sync += now.resolves.eq(1)
        m.next = "RESOLVE"

    def _write(self, m: Module, now: _Now) -> None:
        """Write a register in the next cycle."""
        m.d.sync += now.writing.eq(1)
        m.next = "WRITE"

    def _turn(self, m: Module, now: _Now) -> None:
        """At the end of a loop's body go back, or leave the loop and look at the one around it."""
        loops = now.loops
        with m.If(loops.again):
            self._go(m, now, loops.top_start)
        with m.Else():
            self._go(m, now, now.place)

    def _advance(self, m: Module, now: _Now) -> None:
        """Fetch two words ahead, decode one word ahead into registers.

        An instruction takes two cycles or more, so the next word is always there in time.
        """
        decoder, loops, fetched = now.decoder, now.loops, self._program(m, now.fetch)
        m.d.comb += [
            decoder.word.eq(fetched),
            decoder.enable.eq(now.arrives),
            loops.turn.eq(now.turning | (now.loading & now.ends_before)),
            loops.push.eq(now.enters & ~now.skips),
            loops.start.eq(now.after),
            loops.end.eq(now.body_end),
            loops.count.eq(now.values[0]),
        ]
        m.d.sync += [
            now.fresh.eq(now.loads),
            now.ends.eq(~loops.empty & (now.after == loops.top_end)),
            now.ends_before.eq(~loops.empty & (now.place == loops.top_end)),
            now.skips.eq((now.values[0] == 0) | (now.body == 0)),
            now.too_long.eq(now.body_end > now.limit),
        ]
        with m.If(~now.resolves):
            m.d.sync += [now.refs.eq(decoder.refs), now.last_step.eq(decoder.last_step)]
        with m.Elif(~self.halt):
            m.d.sync += [now.refs[i].eq(now.refs[i + PORTS]) for i in range(MAX_SOURCES - PORTS)]
        with m.If(now.finished):
            m.d.sync += [now.place.eq(now.after), now.after.eq(now.after + 1)]
        with m.If(now.loads | now.fetching):
            m.d.sync += now.fetch.eq(now.fetch + 1)
        with m.Elif(now.goes):
            m.d.sync += now.fetch.eq(now.target)
        refusal = self._refusal(m, now)
        with m.If(now.loads):
            m.d.sync += [
                now.word.eq(decoder.held),
                now.engines.eq(decoder.engine),
                now.awaits.eq(decoder.engine[Engine.SYS]),
                now.refusal.eq(refusal),
                now.refused.eq(refusal != Reason.NONE),
                now.system.eq(decoder.system),
                now.rd.eq(decoder.rd),
                now.body.eq(decoder.body),
                now.value.eq(decoder.value),
                now.step.eq(0),
            ]

    def _resolve(self, m: Module, now: _Now) -> None:
        """Read the operands of a step, and add what the instruction adds to them."""
        for port, (index, value) in enumerate(self._registers(m, now)):
            m.d.comb += index.eq(now.refs[port].register)
            resolved = (value + now.refs[port].offset)[:32]
            for position in range(port, MAX_SOURCES, PORTS):
                with m.If(now.resolves & (now.step == position // PORTS)):
                    m.d.sync += now.values[position].eq(resolved)

    def _refusal(self, m: Module, now: _Now) -> Signal:
        """Why the next word stops the program, if it does."""
        refusal = Signal(Reason)
        with m.Switch(now.decoder.legality):
            for legality in (Legality.OPCODE, Legality.RESERVED, Legality.STRAY):
                with m.Case(legality):
                    m.d.comb += refusal.eq(Reason[legality.name])
        with m.If(now.beyond):
            m.d.comb += refusal.eq(Reason.RUNAWAY)
        return refusal

    def _offer(self, m: Module, now: _Now) -> Value:
        """Offer the instruction to the queue of its engine. Return whether it goes."""
        assembler, free = now.assembler, []
        m.d.comb += [assembler.word.eq(now.word), assembler.values.eq(now.values)]
        for engine, offers in zip(ENGINES, now.offers, strict=True):
            name = engine.name.lower()
            push = getattr(self, f"push_{name}")
            m.d.comb += [
                push.payload.address.eq(now.place),
                push.payload.wait.eq(now.wait),
                push.payload.signal.eq(now.signal),
                push.payload.command.eq(getattr(assembler, f"command_{name}")),
                push.valid.eq(offers & now.free),
            ]
            free.append(push.ready & now.engines[engine])
        # Nobody else fills a queue: what was free a cycle ago is free.
        m.d.sync += now.free.eq(Cat(free).any())
        accepted = now.offers.any() & now.free
        with m.If(accepted):
            m.d.sync += now.offers.eq(0)
        return accepted

    def _check(self, m: Module, now: _Now) -> None:
        """A step of RESOLVE: what is no instruction stops the program."""
        loops, goes_on = now.loops, now.resolves & ~self.halt
        m.d.comb += [
            now.refuses.eq(goes_on & now.refused),
            now.resolved.eq(goes_on & ~now.refused & (now.step == now.last_step)),
        ]
        with m.If(now.resolves):
            m.d.sync += [
                now.body_end.eq(now.after + now.body),
                now.limit.eq(Mux(loops.empty, self.length, loops.top_end)),
            ]
        with m.If(goes_on):
            m.d.sync += now.step.eq(now.step + 1)
        with m.If(now.refuses):
            m.d.sync += [self.reason.eq(now.refusal), self.running.eq(0)]
        with m.If(now.resolved):
            m.d.sync += [
                now.executes.eq(now.engines[Engine.SYS]),
                now.offers.eq(Cat(now.engines[engine] for engine in ENGINES)),
            ]

    def _execute(self, m: Module, now: _Now) -> None:
        """An instruction of SYS whose tokens are there."""
        m.d.sync += [
            now.executes.eq(0),
            now.awaits.eq(0),
            now.enters.eq(now.system.LOOP),
            now.countdown.eq(CYCLES["multiply"] - 2),
        ]
        with m.If(now.system.LOOP):
            m.next = "ENTER"
        with m.Elif(now.system.SMUL):
            m.next = "MULTIPLY"
        with m.Elif(now.system.SDIV):
            m.next = "DIVIDE"
        with m.Elif(now.system.END):
            m.next = "DRAIN"
        with m.Elif(now.system.NOP):
            self._continue(m, now)
        with m.Else():
            self._write(m, now)

    def _enter(self, m: Module, now: _Now) -> None:
        """Enter a loop, or go behind its body."""
        loops = now.loops
        with m.If(now.too_long):
            self._stop(m, Reason.LOOP_BODY)
        with m.Elif(now.skips):
            m.d.comb += now.leaves.eq(1)
            self._go(m, now, now.body_end)
        with m.Elif(loops.full):
            self._stop(m, Reason.LOOP_DEPTH)
        with m.Else():
            self._continue(m, now)

    def _drain(self, m: Module, now: _Now) -> None:
        """END waits for the engines."""
        m.d.comb += self.waiting.eq(1)
        with m.If(~self.engines_busy & ~self.halt):
            with m.If(self.stream_empty):
                m.d.comb += now.leaves.eq(1)
                m.d.sync += [self.ended.eq(1), self.running.eq(0)]
                m.next = "IDLE"
            with m.Else():
                self._stop(m, Reason.STREAM_LEFT)

    def _program(self, m: Module, address: Value) -> Value:
        """Make the program memory. Return the word at an address of two cycles before."""
        m.submodules.memory = memory = Memory(
            shape=unsigned(WORD_BITS), depth=self.program_words, init=[]
        )
        write, read = memory.write_port(granularity=LIMB), memory.read_port()
        m.d.comb += [
            write.addr.eq(self.program.address),
            write.data.eq(self.program.data),
            write.en.eq(Mux(self.program.enable, self.program.mask, 0)),
            read.addr.eq(address),
        ]
        word = Signal(WORD_BITS, name="fetched", reset_less=True)
        m.d.sync += word.eq(read.data)
        return word

    def _registers(self, m: Module, now: _Now) -> list[tuple[Value, Value]]:
        """The registers: index and value of each read port. Register 0 is never written."""
        m.submodules.registers = registers = Memory(shape=unsigned(32), depth=REGISTERS, init=[])
        write = registers.write_port()
        m.d.comb += [
            write.addr.eq(now.rd),
            write.data.eq(self._result(m, now)),
            write.en.eq(now.writing & (now.rd != 0)),
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
        """What the instruction writes into a register, a cycle after its operands."""
        a, b, divider = now.values[0], now.values[1], now.divider
        total, difference, product = (
            Signal(32, name=name, reset_less=True) for name in ("total", "difference", "product")
        )
        less, rd_value = Signal(reset_less=True), Signal(32)
        m.d.comb += [
            divider.dividend.eq(a),
            divider.divisor.eq(b),
            divider.start.eq(self.take & now.system.SDIV),
        ]
        results = {
            "LI": now.value,
            "SADD": total,
            "SSUB": difference,
            "SMUL": product,
            "SDIV": divider.quotient,
            "SMIN": Mux(less, a, b),
            "ARG": self.argmax,
        }
        chosen = (Mux(now.system[name], value[:32], 0) for name, value in results.items())
        m.d.sync += [
            total.eq(a + b),
            difference.eq(a - b),
            product.eq(_product(m, a, b, now.system.SMUL)),
            less.eq(a < b),
        ]
        m.d.comb += rd_value.eq(reduce(or_, chosen))
        return rd_value


def _product(m: Module, a: Value, b: Value, wanted: Value) -> Value:
    """The lower half of a product, 3 cycles late, of three products of 16 bits.

    Factors have registers beside the multipliers, which may lie far from the sequencer's.
    """
    factors = [Signal(32, name=f"factor_{number}", reset_less=True) for number in range(2)]
    with m.If(wanted):
        m.d.sync += [factor.eq(value) for factor, value in zip(factors, (a, b), strict=True)]
    a, b = factors
    lower, lower_next = (Signal(32, name=name, reset_less=True) for name in ("lower", "lower_next"))
    upper = Signal(16, reset_less=True)
    cross = [Signal(16, name=f"cross_{number}", reset_less=True) for number in range(2)]
    with m.If(wanted):
        m.d.sync += [
            lower.eq(a[:16] * b[:16]),
            cross[0].eq(a[16:] * b[:16]),
            cross[1].eq(a[:16] * b[16:]),
            lower_next.eq(lower),
            upper.eq(cross[0] + cross[1]),
        ]
    return Cat(lower_next[:16], lower_next[16:] + upper)


class _Now:
    """The instruction at hand, and how far it is.

    `place` is its address, `after` the one behind it, `fetch` what the program memory reads; the
    decoder holds the next word, whose parts go into registers as it becomes the one at hand.
    `loads`: It does. `arrives`: The program memory shows the next word. `goes`: `target` is to be
    fetched, off the straight line. `fresh`: The first cycle of an instruction. `fetching`,
    `loading`, `decoding`, `resolves`, `turning`, `writing`: The state is that of this name, FETCH
    to WRITE; registers. `engines`, `system`: Whose it is; which of those of SYS. `beyond`: The next
    one is behind the program. `refusal`: Why it stops the program; `refused`: There is a reason;
    `refuses`: It stops it. `by_zero`: The second operand was 0 a cycle ago. `resolved`: Its last
    operands are read. `awaits`: It is of SYS and has not taken its tokens; `executes`: It waits for
    nothing else. `offers`: It is for one of these engines, and waits for the queue; `free`: That
    has had room for a cycle. `ends`: The innermost loop's body ends behind it; `ends_before`: In
    front of it. LOOP: `body_end` must be at most `limit`; `too_long`: It is not; `skips`: Nothing
    is repeated; `enters`: It is seen to. `finished`: It is over, and the one behind it is next;
    `completes`: So it is beyond EXECUTE. `leaves`: It is over, and another one is next or none.
    """

    def __init__(self, program_words: int) -> None:
        place, far = range(program_words + 1), program_words + (1 << BODY_BITS) + 1
        self.place = Signal(place)
        self.after = Signal(range(program_words + 2))
        self.fetch = Signal(range(program_words + 3))
        self.goes, self.target = Signal(), Signal(place)
        self.decoder, self.assembler, self.divider = Decoder(), Assembler(), Divider()
        self.loops = LoopStack(place_bits=len(self.place))
        self.arrives = Signal()
        self.loads = Signal()
        self.fresh = Signal()
        self.word = Signal(WORD_BITS, reset_less=True)
        self.wait = self.word[OPCODE_BITS:][:ENGINE_BITS]
        self.signal = self.word[OPCODE_BITS + ENGINE_BITS :][:ENGINE_BITS]
        self.engines = Signal(len(Engine))
        self.system = Signal(SYSTEM)
        self.fetching, self.loading, self.decoding = Signal(), Signal(), Signal()
        self.resolves, self.turning, self.writing = Signal(), Signal(), Signal()
        self.states = (
            self.fetching, self.loading, self.decoding, self.resolves, self.turning, self.writing,
        )  # fmt: skip
        self.refusal, self.refused = Signal(Reason), Signal()
        self.refs = Signal(data.ArrayLayout(REFERENCE, MAX_SOURCES), reset_less=True)
        self.last_step = Signal(range(STEPS))
        self.step = Signal(range(STEPS))
        self.refuses, self.resolved = Signal(), Signal()
        self.values = Signal(data.ArrayLayout(32, MAX_SOURCES), reset_less=True)
        self.by_zero = Signal()
        self.offers = Signal(len(ENGINES))
        self.free = Signal()
        self.awaits = Signal()
        self.executes = Signal()
        self.rd = Signal(REGISTER_BITS)
        self.value = Signal(len(self.decoder.value), reset_less=True)
        self.countdown = Signal(range(CYCLES["multiply"]))
        self.body = Signal(BODY_BITS)
        self.body_end = Signal(range(far))
        self.limit = Signal(place)
        self.skips = Signal()
        self.too_long = Signal()
        self.enters = Signal()
        self.beyond = Signal()
        self.ends = Signal()
        self.ends_before = Signal()
        self.completes = Signal()
        self.finished = Signal()
        self.leaves = Signal()
