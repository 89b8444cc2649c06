"""int8 words to blocks of 16, with scale, sum and exponent."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from alula.design import BLOCK
from alula.gateware.arithmetic.float_convert import INT8_LATENCY, FloatToInt8
from alula.gateware.buffers.ports import word
from alula.gateware.hdl.level import level
from alula.gateware.hdl.repeat import shared
from alula.gateware.sfu.writer import DEPTH

LATENCY = INT8_LATENCY + 4
"""Cycles from a word to its block, if it is the block's last, has left."""


class SfuPack(wiring.Component):
    """fp32 words to int8, moved down by some lanes, gathered into blocks of 16, each group summed.

    Args:
        lanes: fp32 values of a word, 2 to 16.

    Members:
        clear (In): the next word begins a group; only while none is under way.
        valid (In): `word` is there; whoever sends it sees to it that there are at most `DEPTH`.
        word (In): fp32 values.
        exponent (In): holds still: 2**-exponent is the factor.
        offset (In): holds still: lanes by which values move down.
        taken (Out): a word leaves the queue.
        idle (Out): every word that left the queue has left with its block.
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
                "idle": Out(1),
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
            m.submodules[f"convert{lane}"] = shared(unit)
            m.d.comb += [
                unit.valid.eq(self.valid),
                unit.x.eq(self.word[lane]),
                unit.exponent.eq(self.exponent),
            ]
        came = units[0].result_valid
        waiting = level(m, enters=came, leaves=self.taken, most=DEPTH, name="waiting")
        m.d.comb += [write.en.eq(came), write.data.eq(Cat(unit.result for unit in units))]
        with m.If(came):
            m.d.sync += write.addr.eq(write.addr + 1)
        with m.If(self.taken):
            m.d.sync += read.addr.eq(read.addr + 1)

        # A word moves down, a quarter of its values is summed, then it is put to its block.
        forward, moves = Signal(), Signal(2)
        m.d.comb += [
            forward.eq(~self.block_valid | self.block_ready),
            self.taken.eq(waiting.some & forward),
            self.idle.eq(~moves.any() & ~self.block_valid),
        ]
        with m.If(forward):
            m.d.sync += moves.eq(Cat(self.taken, moves))
        moved, added = (
            Signal(self.lanes * 8, name=name, reset_less=True) for name in ("moved", "added")
        )
        with m.If(self.taken):
            m.d.sync += moved.eq(read.data >> Cat(Const(0, 3), self.offset))
        values = [moved.word_select(lane, 8).as_signed() for lane in range(self.lanes)]
        width = min(self.lanes, 4)
        sums = [Signal(signed(10), name=f"sum{at}") for at in range(0, self.lanes, width)]
        with m.If(forward & moves[0]):
            m.d.sync += added.eq(moved)
            m.d.sync += [
                one.eq(sum(values[width * at : width * at + width], Const(0, signed(8))))
                for at, one in enumerate(sums)
            ]
        self._gather(m, forward & moves[1], added, sum(sums, Const(0, signed(8))))
        return m

    def _gather(self, m: Module, comes: Value, word: Value, total: Value) -> None:
        """Words into a block, their sums into the group's."""
        per_block = BLOCK // self.lanes
        place, last, half = Signal(range(max(per_block, 2))), Signal(), Signal()
        m.d.comb += last.eq(place == per_block - 1)
        bits = Signal(8 * BLOCK, reset_less=True)
        m.d.comb += self.block.eq(bits)
        with m.If(self.block_ready):
            m.d.sync += self.block_valid.eq(0)
        with m.If(self.clear):
            m.d.sync += [place.eq(0), half.eq(0)]
        with m.If(comes):
            m.d.sync += [
                bits.eq(Cat(bits, word)[self.lanes * 8 :]),
                place.eq(Mux(last, 0, place + 1)),
                self.sum.eq(Mux((place == 0) & ~half, 0, self.sum) + total),
            ]
            with m.If(last):
                m.d.sync += [self.block_valid.eq(1), self.half.eq(half), half.eq(~half)]
