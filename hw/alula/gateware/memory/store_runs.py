"""Some bytes of one channel at a time: how all of ST but ST.V writes."""

from amaranth.hdl import Array, Module, Signal, Value, ValueLike
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Member, Out

from alula.gateware.arithmetic.compare import reaches
from alula.gateware.control.command import layout
from alula.gateware.control.fault import Code, Fault
from alula.gateware.memory.sizes import MemorySizes
from alula.gateware.memory.write_master import beat_layout, channels_layout
from alula.isa.instructions import Engine

ADDRESS_BITS = 35


def run_layout(sizes: MemorySizes) -> data.StructLayout:
    """Bytes of one channel's part of a beat, the channel counted over all cores."""
    return data.StructLayout(
        {
            "address": ADDRESS_BITS,
            "channel": range(max(2, sizes.cores * sizes.channels)),
            "data": 8 * sizes.beat_bytes,
            "strobe": sizes.beat_bytes,
        }
    )


def own(sizes: MemorySizes, number: Value, value: Value, bits: int) -> Value:
    """What is core `number`'s of a value with so many bits for each channel of all cores."""
    size = bits * sizes.channels
    if sizes.cores == 1:
        return value[:size]
    return Array(value[size * core : size * (core + 1)] for core in range(sizes.cores))[number]


class Storer(Component):
    """Stores what one kind of instruction has.

    Members:
        command: The instruction; held from the first state of `DECODING` until it is done.
        start: Begin with it; for one cycle.
        over: All of it has been handed on; may come with `start`.
        fault: It cannot go on, in one cycle; neither does the storer from then on.
    """

    def __init__(self, sizes: MemorySizes, members: dict[str, Member]) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "command": In(layout(Engine.ST)),
                "start": In(1),
                "over": Out(1),
                "fault": Out(Fault),
                **members,
            }
        )

    def refuse(self, m: Module, code: Code, detail: ValueLike) -> None:
        """Stop with a fault."""
        m.d.comb += [self.fault.code.eq(code), self.fault.detail.eq(detail)]


class RunWriter(Component):
    """Writes one run after the other: its transfer and its data leave independently.

    Members:
        number: Of this core; constant.
        run: Stream of `run_layout`. What is another core's passes and is dropped.
        transfer, beat: To `WriteMaster`.
        busy: A run has not left.
        fault: A run lies beyond memory; it never leaves.
    """

    def __init__(self, sizes: MemorySizes) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "number": In(range(max(2, sizes.cores))),
                "run": In(stream.Signature(run_layout(sizes))),
                "transfer": Out(stream.Signature(channels_layout(sizes.beat_bits, sizes.channels))),
                "beat": Out(stream.Signature(beat_layout(sizes.channels, sizes.beat_bytes))),
                "busy": Out(1),
                "fault": Out(Fault),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        sizes, run = self.sizes, self.run.payload
        mine, exists = Signal(sizes.channels), Signal()
        held = Signal(8 * sizes.beat_bytes, reset_less=True)
        strobe = Signal(sizes.beat_bytes, reset_less=True)
        transfer = self.transfer.payload
        # A run waits here until the one before has left; here it is seen whether it exists.
        next_run, waiting, leaves = Signal.like(run, reset_less=True), Signal(), Signal()
        m.d.comb += [
            mine.eq(own(sizes, self.number, 1 << next_run.channel, 1)),
            exists.eq(~reaches(next_run.address, sizes.memory_beats)),
            leaves.eq(waiting & exists & ~self.transfer.valid & ~self.beat.valid),
            self.busy.eq(waiting | self.transfer.valid | self.beat.valid),
            self.run.ready.eq(~waiting),
            transfer.transfer.beats.eq(1),
            # Only the channels of its transfer see it.
            self.beat.payload.data.eq(held.replicate(sizes.channels)),
            self.beat.payload.strobe.eq(strobe.replicate(sizes.channels)),
        ]
        with m.If(self.transfer.valid & self.transfer.ready):
            m.d.sync += self.transfer.valid.eq(0)
        with m.If(self.beat.valid & self.beat.ready):
            m.d.sync += self.beat.valid.eq(0)
        with m.If(~waiting):
            m.d.sync += [next_run.eq(run), waiting.eq(self.run.valid)]
        with m.If(leaves):
            m.d.sync += [
                waiting.eq(0),
                transfer.transfer.address.eq(next_run.address),
                transfer.channels.eq(mine),
                held.eq(next_run.data),
                strobe.eq(next_run.strobe),
                self.transfer.valid.eq(mine.any()),
                self.beat.valid.eq(mine.any()),
            ]
        m.d.comb += self.fault.detail.eq(next_run.address)
        with m.If(waiting & ~exists):
            m.d.comb += self.fault.code.eq(Code.OUT_OF_RANGE)
        return m
