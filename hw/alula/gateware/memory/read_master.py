"""Reads of whole beats from all channels in step."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.hdl.axi import MAX_BURST, Burst, reader
from alula.gateware.memory.bursts import Bursts, transfer_layout

__all__ = ["OUTSTANDING", "ReadMaster", "axi_address_bits"]

OUTSTANDING = 64
"""Bursts that a channel may owe."""


def axi_address_bits(beat_bits: int, beat_bytes: int) -> int:
    """Address bits of a channel."""
    return beat_bits + (beat_bytes - 1).bit_length()


class ReadMaster(Component):
    """Turns transfers into bursts on every channel, and their data into one stream of beats.

    Reads are outstanding without limit but `OUTSTANDING` bursts and, for metered transfers, `room`.
    A beat passes in the cycle in which every channel has its part. After an error, or while
    `cancel` is high, no burst begins and what comes back is dropped.

    Args:
        channels: AXI ports, each with the same part of every beat.
        beat_bits: Width of a beat's address.
        beat_bytes: Bytes of one channel's part.

    Members:
        axi: The ports; a beat's address counts `beat_bytes`.
        transfer: Stream of `transfer_layout(beat_bits)`.
        beat: Stream of beats, in order.
        room: Metered beats that may be asked for. growing: It will be more in the next cycle.
        asked: Metered beats that are asked for now.
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
                "room": In(range(MAX_BURST + 1)),
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
        drop = Signal()
        m.d.comb += [
            drop.eq(self.cancel | self.error),
            bursts.transfer.payload.eq(self.transfer.payload),
            bursts.transfer.valid.eq(self.transfer.valid),
            self.transfer.ready.eq(bursts.transfer.ready),
            bursts.room.eq(self.room),
            bursts.patient.eq(~self.quiet | self.growing),
        ]

        # A burst that a channel has been shown must stand, so one that has begun is finished.
        asking, start = Signal(), Signal()
        held = Signal.like(bursts.burst.payload)
        sent, owes, full, bad = (
            Signal(self.channels, name=n) for n in ("sent", "owes", "full", "bad")
        )
        m.d.comb += [
            start.eq(bursts.burst.valid & ~asking & ~drop & ~full.any()),
            bursts.burst.ready.eq(start),
            self.quiet.eq(~asking & ~owes.any()),
        ]
        accepted = Cat(port.arready for port in self.axi)
        with m.If(start):
            m.d.sync += [asking.eq(1), held.eq(bursts.burst.payload), sent.eq(0)]
        with m.Elif(asking):
            m.d.sync += sent.eq(sent | accepted)
            with m.If((sent | accepted).all()):
                m.d.sync += asking.eq(0)

        beat_moves = Signal()
        valid = Cat(port.rvalid for port in self.axi)
        m.d.comb += [
            self.beat.valid.eq(valid.all() & ~drop & ~bad.any()),
            self.beat.payload.eq(Cat(port.rdata for port in self.axi)),
            beat_moves.eq(self.beat.valid & self.beat.ready),
        ]
        with m.If(start & bursts.burst.payload.metered):
            m.d.comb += self.asked.eq(bursts.burst.payload.last + 1)

        for number, port in enumerate(self.axi):
            owed = Signal(range(OUTSTANDING + 1), name=f"owed_{number}")
            shown, ends = Signal(name=f"shown_{number}"), Signal(name=f"ends_{number}")
            m.d.comb += [
                shown.eq(asking & ~sent[number]),
                port.araddr.eq(held.address << (self.beat_bytes - 1).bit_length()),
                port.arlen.eq(held.last),
                port.arsize.eq((self.beat_bytes - 1).bit_length()),
                port.arburst.eq(Burst.INCR),
                port.arvalid.eq(shown),
                port.rready.eq(drop | beat_moves | (bad.any() & valid.all())),
                bad[number].eq(port.rvalid & port.rresp[1]),
                ends.eq(port.rvalid & port.rready & port.rlast),
                owes[number].eq(owed != 0),
                full[number].eq(owed == OUTSTANDING),
            ]
            m.d.sync += owed.eq(owed + (shown & port.arready) - ends)
        with m.If(valid.all() & bad.any() & ~drop):
            m.d.sync += self.error.eq(1)
            for number in reversed(range(self.channels)):
                with m.If(bad[number]):
                    m.d.sync += [
                        self.response.eq(self.axi[number].rresp),
                        self.channel.eq(number),
                    ]
        return m
