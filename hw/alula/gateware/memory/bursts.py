"""Cuts transfers into AXI bursts."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.hdl.axi import BOUNDARY, MAX_BURST

LATENCY = 4
"""Cycles from a transfer to its first burst; then a burst every 4 cycles."""
WORTH = 16
"""Beats that a metered burst waits for, if there are so many."""


def transfer_layout(beat_bits: int) -> data.StructLayout:
    """Consecutive beats, at least one; `metered` ones only as far as there is `credit`."""
    return data.StructLayout({"address": beat_bits, "beats": beat_bits + 1, "metered": 1})


def burst_layout(beat_bits: int) -> data.StructLayout:
    """One burst: its first beat and the number of beats less one."""
    return data.StructLayout({"address": beat_bits, "last": 8, "ends": 1})


class Bursts(Component):
    """No burst crosses 4 KiB of a channel, or a multiple of 256 beats.

    A metered burst is not longer than `credit` either. It waits for credit worth a burst (16 beats,
    or what is left) as long as `patient`.

    Args:
        beat_bits: Width of a beat's address.
        beat_bytes: Bytes of one channel's part of a beat.

    Members:
        transfer: Stream of `transfer_layout(beat_bits)`.
        credit: Beats that may be asked for; `MAX_BURST` means at least so many. It tells of `asked`
            two cycles later.
        patient: Something is under way that will give credit.
        asked: Metered beats of the burst that has just been cut, for one cycle.
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
                "credit": In(range(MAX_BURST + 1)),
                "patient": In(1),
                "asked": Out(range(MAX_BURST + 1)),
                "burst": Out(stream.Signature(burst_layout(beat_bits))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        longest = min(MAX_BURST, BOUNDARY // self.beat_bytes)
        now, burst = Signal(transfer_layout(self.beat_bits)), self.burst
        # What is left of the page or the transfer, whether it is the transfer, and what may go now.
        wish, whole = Signal(range(longest + 1)), Signal()
        fits, worth, credit = Signal(), Signal(), Signal(range(MAX_BURST + 1))
        left, count = Signal(range(longest + 1)), Signal(range(longest + 1))
        within = Signal(range(longest))
        m.d.comb += [
            within.eq(now.address),
            left.eq(longest - within),
            count.eq(Mux(fits, wish, credit)),
        ]
        m.d.sync += [
            whole.eq(now.beats <= left),
            wish.eq(Mux(now.beats <= left, now.beats, left)),
            credit.eq(self.credit),
            fits.eq(~now.metered | (self.credit >= wish)),
            worth.eq((self.credit >= WORTH) | ((self.credit != 0) & ~self.patient)),
            self.asked.eq(0),
        ]
        with m.If(burst.valid & burst.ready):
            m.d.sync += burst.valid.eq(0)
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += self.transfer.ready.eq(1)
                m.d.sync += now.eq(self.transfer.payload)
                with m.If(self.transfer.valid):
                    m.next = "Wish"
            # `credit` tells of the burst before from here on: it is compared in the next state.
            with m.State("Wish"):
                m.next = "Compare"
            with m.State("Compare"):
                m.next = "Cut"
            with m.State("Cut"), m.If((fits | worth) & ~burst.valid):
                m.d.sync += [
                    burst.valid.eq(1),
                    burst.payload.address.eq(now.address),
                    burst.payload.last.eq(count - 1),
                    burst.payload.ends.eq(fits & whole),
                    self.asked.eq(Mux(now.metered, count, 0)),
                    now.address.eq(now.address + count),
                    now.beats.eq(now.beats - count),
                ]
                m.next = "Settle"
                with m.If(fits & whole):
                    m.next = "Idle"
            with m.State("Settle"):
                m.next = "Wish"
        return m
