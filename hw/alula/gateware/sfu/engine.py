"""MISC: every SFU instruction, a pass at a time."""

from amaranth.hdl import Cat, DomainRenamer, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from alula.gateware.buffers.ports import (
    GROUP_ADDRESS,
    VECTOR_ADDRESS,
    activation_write,
    staging_write,
    vector_read,
    vector_write,
)
from alula.gateware.buffers.vector_buffer import READ_LATENCY
from alula.gateware.control.command import carried, layout
from alula.gateware.control.fault import Code, Fault, FaultLatch
from alula.gateware.hdl.fifo import LATENCY as QUEUE_LATENCY
from alula.gateware.hdl.later_reset import later_reset
from alula.gateware.sfu.feed import SfuFeed
from alula.gateware.sfu.lanes import SfuLanes
from alula.gateware.sfu.mask import SfuMask
from alula.gateware.sfu.max import INDEX_BITS
from alula.gateware.sfu.maxima import SfuMaxima
from alula.gateware.sfu.quantise import SfuQuantise
from alula.gateware.sfu.reader import REQUEST
from alula.gateware.sfu.reduce import SfuReduce
from alula.gateware.sfu.sequencer import SfuSequencer
from alula.gateware.sfu.writer import SfuWriter
from alula.isa.instructions import Engine

INSTRUCTION = 5
"""Cycles that an instruction takes beside its rows: it waits to be taken, IDLE, BEGIN, CHECK
and DONE."""
IDLE = INSTRUCTION + 1
"""Cycles of an instruction without rows: DECIDE too."""
PASS = 1 + REQUEST + READ_LATENCY + QUEUE_LATENCY
"""Cycles of a pass before its first word is in the lanes: DECIDE or PLAN, its first
address, the buffer, the reader's queue."""
OPERAND = 1
"""Cycles that the first word of `b` comes after that of `a`, as one buffer answers both."""
ROTATE = 1
"""Cycles that the first two words of ROPE wait for each other."""
TURN = 1
"""Cycles from a reduction's result to the lanes' first word that uses it."""
ROW = 1
"""Cycles between two rows: ROW."""


class Sfu(wiring.Component):
    """The engine MISC.

    An instruction is a run of rows, a row a run of passes (`passes.ROUTINES`). In a pass words
    leave the readers, go through the lanes and into the vector buffer, the sum, or the packer;
    maxima are taken of words as they are read. While a sum or a maximum is finished, the next pass
    reads.

    Args:
        lanes: fp32 values of a word, 2, 4, 8 or 16.
        tokens: rows that share an activation group, a power of two.
        words: of the vector buffer.
        groups: of the activation buffer.
        staging_bytes: of the staging buffer.

    Members:
        command, done, busy: as of every engine.
        a, b: read ports of the vector buffer.
        write: write port of the vector buffer.
        activation: write port of the activation buffer.
        staging: write port of staging.
        argmax (Out): the index that ARGMAX found, 0 if none.
        starved, blocked (Out): see `Activity`; of the cycle before, while it holds an instruction.
        error (Out): why it stopped: a ROPE whose `dim` is no multiple of `2 * lanes`, a QUANTKV
            whose `dim` and `lanes` do not divide one another, a size or an address beyond what
            there is. The instruction is never done; nothing goes beyond a buffer.
    """

    def __init__(
        self,
        *,
        lanes: int,
        tokens: int,
        words: int = 1 << VECTOR_ADDRESS,
        groups: int = 1 << GROUP_ADDRESS,
        staging_bytes: int = 1 << 15,
    ) -> None:
        if lanes not in (2, 4, 8, 16):
            raise ValueError(f"lanes must be 2, 4, 8 or 16, not {lanes!r}")
        if tokens < 1 or tokens & tokens - 1:
            raise ValueError(f"tokens must be a power of two, not {tokens!r}")
        self.lanes = lanes
        self.tokens = tokens
        self.words = words
        self.groups = groups
        self.staging_bytes = staging_bytes
        super().__init__(
            {
                "command": In(stream.Signature(layout(Engine.MISC))),
                "done": Out(1),
                "busy": Out(1),
                "a": Out(vector_read(lanes)),
                "b": Out(vector_read(lanes)),
                "write": Out(vector_write(lanes)),
                "activation": Out(activation_write()),
                "staging": Out(staging_write()),
                "argmax": Out(INDEX_BITS),
                "starved": Out(1),
                "blocked": Out(1),
                "error": Out(Fault),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The parts and what goes between them."""
        m = Module()
        lanes, size = self.lanes, {"lanes": self.lanes, "words": self.words}
        control, feed = SfuSequencer(lanes=lanes, tokens=self.tokens), SfuFeed(**size)
        units, reduce = SfuLanes(lanes=lanes), SfuReduce(lanes=lanes)
        mask, maxima, writer = SfuMask(lanes=lanes), SfuMaxima(lanes=lanes), SfuWriter(**size)
        quantise = SfuQuantise(
            lanes=lanes, tokens=self.tokens, groups=self.groups, staging_bytes=self.staging_bytes
        )
        parts = {
            "sequencer": control,
            "feed": feed,
            "lanes": units,
            "reduce": reduce,
            "mask": mask,
            "maxima": maxima,
            "writer": writer,
            "quantise": quantise,
        }
        for name, part in parts.items():
            later_reset(m, domain := f"sfu_{name}", name=f"reset_{name}")
            m.submodules[name] = DomainRenamer(domain)(part)
        connect(m, flipped(self.command), control.command)
        for inner, outer in (
            (feed.port_a, self.a),
            (feed.port_b, self.b),
            (writer.port, self.write),
            (quantise.activation, self.activation),
            (quantise.staging, self.staging),
        ):
            connect(m, inner, flipped(outer))
        start, now = control.start, control.now
        for part in (feed, mask, maxima, reduce, quantise):
            m.d.comb += [part.start.eq(start), part.now.eq(now)]

        # Words into the lanes, and past them.
        m.d.comb += [
            feed.start_b.eq(control.start_b),
            feed.go.eq(control.go),
            feed.late.eq(units.late),
            units.route.eq(now.route),
            units.valid.eq(feed.issue),
            *(getattr(units, name).eq(getattr(feed, name)) for name in "abcd"),
            units.s.eq(reduce.s),
            units.t.eq(Mux(now.activates, quantise.inverse, reduce.t)),
            units.mask.eq(mask.mask),
            mask.next.eq(units.coming | feed.scan),
            maxima.scan.eq(feed.scan),
            maxima.word.eq(feed.read),
            maxima.mask.eq(mask.mask),
        ]

        # The words that come out.
        came, quantises = units.result_valid, now.activates | now.stages
        m.d.comb += [
            writer.start.eq(start),
            writer.path.eq(now.write),
            writer.valid.eq(came & now.writes),
            writer.word.eq(units.result),
            reduce.sum_valid.eq(came & now.sums),
            reduce.sum_word.eq(units.result),
            quantise.valid.eq(came & quantises),
            quantise.word.eq(units.result),
            feed.left.eq(Mux(now.writes, writer.sent, Mux(quantises, quantise.taken, came))),
        ]

        # Sums and maxima, and int8 of what is made of them.
        first = carried(control.instruction.opcode, Engine.MISC, "first")
        m.d.comb += [
            reduce.instruction.eq(control.instruction),
            reduce.forget.eq(control.begin & first & control.instruction.first),
            reduce.reduce.eq(control.reduce),
            reduce.groups.eq(control.place.groups),
            reduce.max_valid.eq(maxima.result_valid),
            reduce.max.eq(maxima.result),
            reduce.max_index.eq(maxima.index),
            quantise.place.eq(control.place),
            quantise.step_valid.eq(reduce.step_valid),
            quantise.step.eq(reduce.step),
            quantise.scale.eq(reduce.scale),
            quantise.issue.eq(feed.issue),
            control.over.eq(feed.idle & quantise.idle),
            control.reducing.eq(reduce.reducing),
            control.reduces.eq(reduce.finished),
            self.done.eq(control.done),
            self.busy.eq(control.busy),
            self.argmax.eq(reduce.argmax),
        ]
        unwritten = Signal(Fault)
        m.d.comb += [
            unwritten.code.eq(Mux(writer.beyond, Code.OUT_OF_RANGE, Code.NONE)),
            unwritten.detail.eq(writer.address),
        ]
        self._report(m, control.refusal, *feed.fault, unwritten, quantise.fault)
        return m

    def _report(self, m: Module, *faults) -> None:
        """Why it waits, and why it stopped."""
        outputs = (self.write, self.activation, self.staging)
        requests = (self.a.request, self.b.request)
        m.submodules.latch = latch = FaultLatch(sources=len(faults))
        m.d.sync += [
            self.blocked.eq(Cat(port.valid & ~port.ready for port in outputs).any()),
            self.starved.eq(Cat(port.valid & ~port.ready for port in requests).any()),
        ]
        m.d.comb += self.error.eq(latch.fault)
        m.d.comb += [report.eq(fault) for report, fault in zip(latch.report, faults, strict=True)]
