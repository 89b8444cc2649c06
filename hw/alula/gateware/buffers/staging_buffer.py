"""Staging: int8 rows of KV heads, between QUANTKV and ST."""

from amaranth.hdl import Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from alula.design import BLOCK
from alula.isa.kv import KV_GROUPS, row_bytes

HALF = BLOCK
"""Values of half a group."""


def rows(staging_bytes: int) -> int:
    """Rows of one group that fit, the most that there can be."""
    return staging_bytes // row_bytes(1)


def place_layout(staging_bytes: int) -> data.StructLayout:
    """Half group `half` of row `row`, where a row has `groups` groups of 32."""
    return data.StructLayout(
        {
            "row": ceil_log2(rows(staging_bytes)),
            "half": range(2 * KV_GROUPS),
            "groups": range(KV_GROUPS + 1),
        }
    )


def write_layout(staging_bytes: int) -> data.StructLayout:
    """Half a group; `scale` is bf16 and counts with half 0."""
    return data.StructLayout(
        {
            "place": place_layout(staging_bytes),
            "data": data.ArrayLayout(signed(8), HALF),
            "scale": 16,
        }
    )


def read_layout() -> data.StructLayout:
    """Half a group and its row's scale."""
    return data.StructLayout({"data": data.ArrayLayout(signed(8), HALF), "scale": 16})


class StagingBuffer(Component):
    """One writer, one reader, each half a group a cycle.

    A row of `groups` groups takes `2 * groups` consecutive words. What is written in one cycle is
    read by requests from the next.

    Args:
        staging_bytes: Size of the buffer; a row takes 32 bytes a group and 2.

    Members:
        write: Stream of `write_layout(staging_bytes)`, always ready.
        request: Stream of `place_layout(staging_bytes)`.
        data: Stream of `read_layout()`, in order, 2 cycles after the request.
    """

    def __init__(self, *, staging_bytes: int) -> None:
        if staging_bytes < 2 * row_bytes(1):
            raise ValueError(
                f"staging_bytes must be at least {2 * row_bytes(1)}, not {staging_bytes}"
            )
        self.staging_bytes = staging_bytes
        super().__init__(
            {
                "write": In(stream.Signature(write_layout(staging_bytes))),
                "request": In(stream.Signature(place_layout(staging_bytes))),
                "data": Out(stream.Signature(read_layout())),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        m.d.comb += self.write.ready.eq(1)
        depth, count = self.staging_bytes // HALF, rows(self.staging_bytes)
        m.submodules.values = values = Memory(shape=unsigned(8 * HALF), depth=depth, init=[])
        m.submodules.scales = scales = Memory(shape=unsigned(16), depth=count, init=[])
        port, scale_port = values.write_port(), scales.write_port()
        # The address of a half takes a cycle, for the writer and the reader alike.
        waiting = Signal(write_layout(self.staging_bytes), reset_less=True)
        writes = Signal()
        address = Signal(range(depth))
        m.d.sync += [
            writes.eq(self.write.valid),
            waiting.eq(self.write.payload),
            address.eq(_address(self.write.payload.place)),
        ]
        m.d.comb += [
            port.addr.eq(address),
            port.data.eq(waiting.data),
            port.en.eq(writes),
            scale_port.addr.eq(waiting.place.row),
            scale_port.data.eq(waiting.scale),
            scale_port.en.eq(writes & (waiting.place.half == 0)),
        ]
        read, scale_read = values.read_port(), scales.read_port()
        asked = Signal()
        read_address = Signal.like(address)
        read_row = Signal(range(count))
        moves, steps = Signal(), Signal()
        m.d.comb += [
            moves.eq(~self.data.valid | self.data.ready),
            steps.eq(moves | ~asked),
            self.request.ready.eq(steps),
            read.addr.eq(read_address),
            scale_read.addr.eq(read_row),
            read.en.eq(moves & asked),
            scale_read.en.eq(moves & asked),
            self.data.payload.data.eq(read.data),
            self.data.payload.scale.eq(scale_read.data),
        ]
        with m.If(moves):
            m.d.sync += self.data.valid.eq(asked)
        with m.If(steps):
            m.d.sync += [
                asked.eq(self.request.valid),
                read_address.eq(_address(self.request.payload)),
                read_row.eq(self.request.payload.row),
            ]
        return m


def _address(place: data.View) -> Value:
    """`row * 2 * groups + half`, of few additions: a DSP block without registers takes longer."""
    terms = (Mux(groups, place.row << 1 + bit, 0) for bit, groups in enumerate(place.groups))
    return sum(terms, place.half)
