"""Reads of whole beats from all channels in step."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from alula.gateware.hdl.axi import MAX_BURST, Burst, reader
from alula.gateware.hdl.skid_buffer import SkidBuffer
from alula.gateware.memory.bursts import Bursts, transfer_layout

OUTSTANDING = 64
"""Bursts that a channel may owe."""


def axi_address_bits(beat_bits: int, beat_bytes: int) -> int:
    """Address bits of a channel."""
    return beat_bits + (beat_bytes - 1).bit_length()


class ReadMaster(Component):
    """Turns transfers into bursts on every channel, and their data into one stream of beats.

    Only `OUTSTANDING` bursts and, for metered transfers, `credit` limit what is outstanding.
    A beat passes in the cycle in which every channel has its part. After an error, or a cycle after
    `cancel` is high, no burst begins and what comes back is dropped. All ports are registered.

    Args:
        channels: AXI ports, each with the same part of every beat.
        beat_bits: Width of a beat's address.
        beat_bytes: Bytes of one channel's part.

    Members:
        axi: The ports; a beat's address counts `beat_bytes`.
        transfer: Stream of `transfer_layout(beat_bits)`.
        beat: Stream of beats, in order.
        credit, asked: See `Bursts`. growing: `credit` will soon be more.
        cancel: Drop everything; stay so until reset.
        error: A channel answered with an error; sticky. `response` is its code, `channel` its
            number.
        quiet: No channel owes anything, none is being asked.
    """

    def __init__(self, *, channels: int, beat_bits: int, beat_bytes: int) -> None:
        if channels < 1:
            raise ValueError(f"channels must be at least 1, not {channels}")
        self.channels, self.beat_bits, self.beat_bytes = channels, beat_bits, beat_bytes
        self._bursts = Bursts(beat_bits=beat_bits, beat_bytes=beat_bytes)
        port = reader(axi_address_bits(beat_bits, beat_bytes), beat_bytes)
        super().__init__(
            {
                "axi": Out(port).array(channels),
                "transfer": In(stream.Signature(transfer_layout(beat_bits))),
                "beat": Out(stream.Signature(8 * beat_bytes * channels)),
                "credit": In(range(MAX_BURST + 1)),
                "growing": In(1),
                "asked": Out(range(MAX_BURST + 1)),
                "cancel": In(1),
                "error": Out(1),
                "response": Out(2),
                "channel": Out(range(max(channels, 2))),
                "quiet": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        m.submodules.bursts = bursts = self._bursts
        connect(m, flipped(self.transfer), bursts.transfer)
        drop, owes, full = Signal(), Signal(self.channels), Signal(self.channels)
        start, asking = self._ask(m, bursts.burst, drop, full)
        m.d.comb += [
            bursts.credit.eq(self.credit),
            bursts.patient.eq(~self.quiet | self.growing | bursts.burst.valid),
            self.asked.eq(bursts.asked),
        ]
        m.d.sync += [
            drop.eq(self.cancel | self.error),
            self.quiet.eq(~start & ~asking & ~owes.any()),
        ]
        came = [self._receive(m, number, owes, full) for number in range(self.channels)]
        self._join(m, came, drop)
        return m

    def _ask(
        self, m: Module, burst: stream.Interface, drop: Value, full: Value
    ) -> tuple[Signal, Signal]:
        """Show each burst to every channel. Return whether one begins, and whether one is shown.

        AXI keeps a request that a channel has seen, so one that has begun is finished.
        """
        start, asking = Signal(), Signal()
        held = Signal.like(burst.payload)
        sent, accepted = Signal(self.channels), Signal(self.channels)
        m.d.comb += [
            start.eq(burst.valid & ~asking & ~drop & ~full.any()),
            burst.ready.eq(start),
        ]
        with m.If(start):
            m.d.sync += [asking.eq(1), held.eq(burst.payload), sent.eq(0)]
        with m.Elif(asking):
            m.d.sync += sent.eq(sent | accepted)
            with m.If((sent | accepted).all()):
                m.d.sync += asking.eq(0)
        power = (self.beat_bytes - 1).bit_length()
        shape = data.StructLayout({"address": self.beat_bits, "last": 8})
        for number, port in enumerate(self.axi):
            m.submodules[f"ar_{number}"] = buffer = SkidBuffer(shape=shape)
            m.d.comb += [
                buffer.items.payload.address.eq(held.address),
                buffer.items.payload.last.eq(held.last),
                buffer.items.valid.eq(asking & ~sent[number]),
                accepted[number].eq(buffer.items.ready),
                port.araddr.eq(buffer.taken.payload.address << power),
                port.arlen.eq(buffer.taken.payload.last),
                port.arsize.eq(power),
                port.arburst.eq(Burst.INCR),
                port.arvalid.eq(buffer.taken.valid),
                buffer.taken.ready.eq(port.arready),
            ]
        return start, asking

    def _receive(self, m: Module, number: int, owes: Signal, full: Signal) -> stream.Interface:
        """Return what a channel sends, behind registers; count the bursts that it owes.

        A burst is owed from its first cycle before the channel until its last beat is taken. One
        more may be under way there than `full` knows of.
        """
        port, asked = self.axi[number], m.submodules[f"ar_{number}"].items
        shape = data.StructLayout({"data": 8 * self.beat_bytes, "response": 2, "last": 1})
        m.submodules[f"r_{number}"] = buffer = SkidBuffer(shape=shape)
        taken = buffer.taken
        owed = Signal(range(OUTSTANDING + 1), name=f"owed_{number}")
        m.d.comb += [
            buffer.items.payload.data.eq(port.rdata),
            buffer.items.payload.response.eq(port.rresp),
            buffer.items.payload.last.eq(port.rlast),
            buffer.items.valid.eq(port.rvalid),
            port.rready.eq(buffer.items.ready),
            owes[number].eq(owed != 0),
        ]
        ends = Signal(name=f"ends_{number}")
        m.d.sync += [
            ends.eq(taken.valid & taken.ready & taken.payload.last),
            owed.eq(owed + (asked.valid & asked.ready) - ends),
            full[number].eq(owed >= OUTSTANDING - 1),
        ]
        return taken

    def _join(self, m: Module, came: list[stream.Interface], drop: Value) -> None:
        """Make whole beats of the channels' parts, until a channel refuses one."""
        there, refused, bad = Signal(), Signal(), Signal(self.channels)
        # One tree for all channels: several cores wait for each other's beats in the same cycle.
        good = Cat(part.valid & ~part.payload.response[1] for part in came).all()
        m.d.comb += [
            there.eq(Cat(part.valid for part in came).all()),
            bad.eq(Cat(part.payload.response[1] for part in came)),
            refused.eq(there & bad.any()),
            self.beat.valid.eq(good & ~drop),
            self.beat.payload.eq(Cat(part.payload.data for part in came)),
            *(part.ready.eq(drop | refused | (there & self.beat.ready)) for part in came),
        ]
        with m.If(refused & ~drop):
            m.d.sync += self.error.eq(1)
            for number, part in reversed(list(enumerate(came))):
                with m.If(bad[number]):
                    m.d.sync += [
                        self.response.eq(part.payload.response),
                        self.channel.eq(number),
                    ]
