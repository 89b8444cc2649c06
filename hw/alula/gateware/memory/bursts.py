"""Cuts transfers into AXI bursts."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.hdl.axi import BOUNDARY, MAX_BURST

__all__ = ["LATENCY", "Bursts", "burst_layout", "transfer_layout"]

LATENCY = 2
"""Cycles from a transfer to its first burst; then a burst every 2 cycles."""
_WORTH = 16


def transfer_layout(beat_bits: int) -> data.StructLayout:
    """Consecutive beats, at least one; `metered` ones only as far as there is `room`."""
    return data.StructLayout({"address": beat_bits, "beats": beat_bits + 1, "metered": 1})


def burst_layout(beat_bits: int) -> data.StructLayout:
    """One burst: its first beat and the number of beats less one."""
    return data.StructLayout({"address": beat_bits, "last": 8, "ends": 1, "metered": 1})


class Bursts(Component):
    """No burst crosses 4 KiB of a channel, or a multiple of 256 beats.

    A metered burst is not longer than `room` either. It waits for room worth a burst (16 beats, or
    what is left) as long as `patient`.

    Args:
        beat_bits: Width of a beat's address.
        beat_bytes: Bytes of one channel's part of a beat.

    Members:
        transfer: Stream of `transfer_layout(beat_bits)`.
        room: Beats that may be asked for; `MAX_BURST` stands for more, too.
        patient: Something is under way that will make room.
        burst: Stream of `burst_layout(beat_bits)`; `ends` marks the last of its transfer.
    """

    def __init__(self, *, beat_bits: int, beat_bytes: int) -> None:
        if beat_bits < 1:
            raise ValueError(f"beat_bits must be at least 1, not {beat_bits}")
        if not 1 <= beat_bytes <= BOUNDARY or beat_bytes & beat_bytes - 1:
            raise ValueError(
                f"beat_bytes must be a power of two, at most {BOUNDARY}, not {beat_bytes}"
            )
        self.beat_bits, self.beat_bytes = beat_bits, beat_bytes
        super().__init__(
            {
                "transfer": In(stream.Signature(transfer_layout(beat_bits))),
                "room": In(range(MAX_BURST + 1)),
                "patient": In(1),
                "burst": Out(stream.Signature(burst_layout(beat_bits))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        longest = min(MAX_BURST, BOUNDARY // self.beat_bytes)
        active = Signal()
        now = Signal(transfer_layout(self.beat_bits))
        left = Signal(range(longest + 1))
        wish = Signal(range(longest + 1))
        count = Signal(range(longest + 1))
        go = Signal()
        within = Signal(range(longest))
        m.d.comb += [
            within.eq(now.address),
            left.eq(longest - within),
            wish.eq(Mux(now.beats < left, now.beats, left)),
            count.eq(Mux(now.metered & (self.room < wish), self.room, wish)),
            go.eq((count == wish) | (count >= _WORTH) | ((count != 0) & ~self.patient)),
            self.transfer.ready.eq(~active),
        ]
        with m.If(self.transfer.valid & ~active):
            m.d.sync += [now.eq(self.transfer.payload), active.eq(1)]
        burst = self.burst
        with m.If(burst.valid & burst.ready):
            m.d.sync += burst.valid.eq(0)
        # `room` follows a burst one cycle later, so a burst is chosen every second cycle at most.
        with m.If(active & go & ~burst.valid):
            m.d.sync += [
                burst.valid.eq(1),
                burst.payload.address.eq(now.address),
                burst.payload.last.eq(count - 1),
                burst.payload.ends.eq(now.beats == count),
                burst.payload.metered.eq(now.metered),
                now.address.eq(now.address + count),
                now.beats.eq(now.beats - count),
                active.eq(now.beats != count),
            ]
        return m
