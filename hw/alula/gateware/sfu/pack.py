"""int8 words to blocks of 16 with what stands beside them."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic.float_convert import INT8_LATENCY, FloatToInt8
from alula.gateware.buffers.ports import word
from alula.gateware.hdl.repeat import placed
from alula.isa.formats import BLOCK

__all__ = ["DEPTH", "LATENCY", "SfuPack"]

LATENCY = INT8_LATENCY + 2
"""Cycles from a word to its block, if it is the block's last, has left."""

DEPTH = 32
"""Words between the start of an operation and their departure."""


class SfuPack(wiring.Component):
    """fp32 words to int8, moved down by some lanes, gathered into blocks of 16, each group summed.

    Args:
        lanes: fp32 values of a word, 2 to 16.

    Members:
        clear (In): the next word begins a group.
        valid (In): `word` is there; whoever sends it sees to it that there are at most `DEPTH`.
        word (In): fp32 values.
        exponent (In): holds still: 2**-exponent is the factor.
        offset (In): holds still: lanes by which values move down.
        taken (Out): a word leaves the queue.
        block_valid (Out): a block is there.
        block_ready (In): it is taken.
        block (Out): 16 values, signed.
        half (Out): which half of its group it is.
        sum (Out): of the values of the group, with half 1.
    """

    def __init__(self, *, lanes: int) -> None:
        if lanes not in (2, 4, 8, 16):
            raise ValueError(f"lanes must be 2, 4, 8 or 16, not {lanes!r}")
        self.lanes = lanes
        super().__init__(
            {
                "clear": In(1),
                "valid": In(1),
                "word": In(word(lanes)),
                "exponent": In(signed(10)),
                "offset": In(range(lanes)),
                "taken": Out(1),
                "block_valid": Out(1),
                "block_ready": In(1),
                "block": Out(ArrayLayout(signed(8), BLOCK)),
                "half": Out(1),
                "sum": Out(signed(14)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Converters, a ring, a shift register of a block."""
        m = Module()
        m.submodules.ring = ring = Memory(shape=self.lanes * 8, depth=DEPTH, init=[])
        write = ring.write_port()
        read = ring.read_port(domain="comb")
        units = [FloatToInt8() for _ in range(self.lanes)]
        for lane, unit in enumerate(units):
            m.submodules[f"convert{lane}"] = placed(unit)
            m.d.comb += [
                unit.valid.eq(self.valid),
                unit.x.eq(self.word[lane]),
                unit.exponent.eq(self.exponent),
            ]
        level = Signal(range(DEPTH + 1))
        came = units[0].result_valid
        m.d.comb += [write.en.eq(came), write.data.eq(Cat(unit.result for unit in units))]
        m.d.sync += [
            level.eq(level + came - self.taken),
            write.addr.eq(write.addr + came),
            read.addr.eq(read.addr + self.taken),
        ]

        moved = Signal(self.lanes * 8)
        m.d.comb += moved.eq(read.data >> Cat(Const(0, 3), self.offset))
        values = [moved.word_select(lane, 8).as_signed() for lane in range(self.lanes)]
        while len(values) > 1:
            values = [values[i] + values[i + 1] for i in range(0, len(values), 2)]
        per_block = BLOCK // self.lanes
        place, last, half = Signal(range(max(per_block, 2))), Signal(), Signal()
        m.d.comb += [
            last.eq(place == per_block - 1),
            self.taken.eq((level != 0) & (~self.block_valid | self.block_ready)),
        ]
        bits = self.block.as_value()
        with m.If(self.block_ready):
            m.d.sync += self.block_valid.eq(0)
        with m.If(self.clear):
            m.d.sync += [place.eq(0), half.eq(0)]
        with m.If(self.taken):
            m.d.sync += [
                bits.eq(Cat(bits, moved)[self.lanes * 8 :]),
                place.eq(Mux(last, 0, place + 1)),
                self.sum.eq(Mux((place == 0) & ~half, 0, self.sum) + values[0]),
            ]
            with m.If(last):
                m.d.sync += [self.block_valid.eq(1), self.half.eq(half), half.eq(~half)]
        return m
