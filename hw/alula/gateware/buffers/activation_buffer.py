"""The activation buffer: A8 groups of `tokens` rows, between QUANT and the MPE."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from alula.design import BLOCK

SIDE = data.StructLayout({"scale": 8, "sum": signed(14), "exponent": signed(10)})
"""What is kept with a group's 32 values: its scale, their sum, and the row's exponent."""


def write_layout(groups: int, tokens: int) -> data.StructLayout:
    """Half a group of one row; `side` counts with half 1."""
    return data.StructLayout(
        {
            "group": ceil_log2(groups),
            "slot": range(tokens),
            "half": 1,
            "data": data.ArrayLayout(signed(8), BLOCK),
            "side": SIDE,
        }
    )


def request_layout(groups: int) -> data.StructLayout:
    """Half a group of all rows."""
    return data.StructLayout({"group": ceil_log2(groups), "half": 1})


def read_layout(tokens: int) -> data.StructLayout:
    """Half a group of all rows; `side` is of the same group whichever half it is."""
    return data.StructLayout(
        {
            "data": data.ArrayLayout(data.ArrayLayout(signed(8), BLOCK), tokens),
            "side": data.ArrayLayout(SIDE, tokens),
        }
    )


class ActivationBuffer(Component):
    """One writer, one reader, each half a group a cycle, neither waiting for the other.

    Args:
        groups: Groups that fit.
        tokens: Rows of a group.

    Members:
        write: Stream of `write_layout(groups, tokens)`, always ready.
        request: Stream of `request_layout(groups)`.
        data: Stream of `read_layout(tokens)`, in order, a cycle after the request.
    """

    def __init__(self, *, groups: int, tokens: int) -> None:
        if groups < 2:
            raise ValueError(f"groups must be at least 2, not {groups}")
        if tokens < 1:
            raise ValueError(f"tokens must be at least 1, not {tokens}")
        self.groups, self.tokens = groups, tokens
        super().__init__(
            {
                "write": In(stream.Signature(write_layout(groups, tokens))),
                "request": In(stream.Signature(request_layout(groups))),
                "data": Out(stream.Signature(read_layout(tokens))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        m.d.comb += self.write.ready.eq(1)
        row, side = 8 * BLOCK, SIDE.size
        m.submodules.values = values = Memory(
            shape=unsigned(self.tokens * row), depth=2 * self.groups, init=[]
        )
        m.submodules.sides = sides = Memory(
            shape=unsigned(self.tokens * side), depth=self.groups, init=[]
        )
        item = self.write.payload
        slot = Signal(self.tokens)
        m.d.comb += slot.eq(Mux(self.write.valid, 1 << item.slot, 0))
        port = values.write_port(granularity=row)
        m.d.comb += [
            port.addr.eq(Cat(item.half, item.group)),
            port.data.eq(item.data.as_value().replicate(self.tokens)),
            port.en.eq(slot),
        ]
        port = sides.write_port(granularity=side)
        m.d.comb += [
            port.addr.eq(item.group),
            port.data.eq(item.side.as_value().replicate(self.tokens)),
            port.en.eq(Mux(item.half, slot, 0)),
        ]
        read_values, read_sides = values.read_port(), sides.read_port()
        moves = Signal()
        m.d.comb += [
            moves.eq(~self.data.valid | self.data.ready),
            self.request.ready.eq(moves),
            read_values.addr.eq(Cat(self.request.payload.half, self.request.payload.group)),
            read_sides.addr.eq(self.request.payload.group),
            read_values.en.eq(moves & self.request.valid),
            read_sides.en.eq(moves & self.request.valid),
            self.data.payload.data.eq(read_values.data),
            self.data.payload.side.eq(read_sides.data),
        ]
        with m.If(moves):
            m.d.sync += self.data.valid.eq(self.request.valid)
        return m
