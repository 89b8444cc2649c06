"""The largest of many values, and where it is."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from alula.gateware.buffers.ports import word

INDEX_BITS = 20


def latency(lanes: int) -> int:
    """Cycles from the last word to the result."""
    return 1 + (lanes - 1).bit_length() + 1


def ordered(bits) -> Cat:
    """fp32 bits as an unsigned number of the same order; it is its own inverse but for the sign."""
    return Cat(bits[:31] ^ Mux(bits[31], Const(0x7FFF_FFFF, 31), 0), ~bits[31])


class SfuMax(wiring.Component):
    """The first largest value of words that come at any pace.

    Args:
        lanes: fp32 values of a word, a power of two, at least 2.

    Members:
        valid (In): `word` is there.
        first (In): with it a maximum begins.
        last (In): with it a maximum ends.
        absolute (In): signs are ignored.
        word (In): values.
        mask (In): the lanes that count; at least one of the first word.
        result_valid (Out): high for one cycle, `latency(lanes)` cycles after `last`.
        result (Out): the largest value.
        index (Out): how many values come before it, all lanes of all words counted.
    """

    def __init__(self, *, lanes: int) -> None:
        if lanes < 2 or lanes & lanes - 1:
            raise ValueError(f"lanes must be a power of two, at least 2, not {lanes!r}")
        self.lanes = lanes
        super().__init__(
            {
                "valid": In(1),
                "first": In(1),
                "last": In(1),
                "absolute": In(1),
                "word": In(word(lanes)),
                "mask": In(lanes),
                "result_valid": Out(1),
                "result": Out(32),
                "index": Out(INDEX_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Numbers to compare; a tree, a level a stage; the best so far."""
        m = Module()
        # A lane that does not count is below everything.
        keys = [
            Mux(self.mask[lane], ordered(Cat(bits[:31], bits[31] & ~self.absolute)), 0)
            for lane, bits in enumerate(self.word[lane] for lane in range(self.lanes))
        ]
        places: list = [Const(0, 0)] * self.lanes
        flags = Cat(self.valid, self.first, self.last)
        keys, places, flags = self._stage(m, 0, keys, places, flags)
        while len(keys) > 1:
            chosen = [keys[i + 1] > keys[i] for i in range(0, len(keys), 2)]
            places = [
                Cat(Mux(take, places[2 * i + 1], places[2 * i]), take) if len(places[0]) else take
                for i, take in enumerate(chosen)
            ]
            keys = [Mux(take, keys[2 * i + 1], keys[2 * i]) for i, take in enumerate(chosen)]
            keys, places, flags = self._stage(m, len(places[0]), keys, places, flags)

        valid, first, last = flags
        best, index = Signal(32, reset_less=True), Signal(INDEX_BITS, reset_less=True)
        count = Signal(INDEX_BITS)
        m.d.comb += [
            self.result.eq(Cat(best[:31] ^ Mux(best[31], 0, Const(0x7FFF_FFFF, 31)), ~best[31])),
            self.index.eq(index),
        ]
        here = Mux(first, 0, count)
        m.d.sync += self.result_valid.eq(valid & last)
        with m.If(valid):
            m.d.sync += count.eq(here + self.lanes)
            with m.If(first | (keys[0] > best)):
                m.d.sync += [best.eq(keys[0]), index.eq(here + places[0])]
        return m

    def _stage(self, m: Module, level: int, keys: list, places: list, flags: Value) -> tuple:
        """Keys, places and flags a cycle later."""
        held_keys = [Signal(32, name=f"key{level}_{i}", reset_less=True) for i in range(len(keys))]
        held_places = [
            Signal(level, name=f"place{level}_{i}") if level else Const(0, 0)
            for i in range(len(keys))
        ]
        held_flags = Signal(3, name=f"flags{level}")
        m.d.sync += held_flags.eq(Mux(flags[0], flags, 0))
        with m.If(flags[0]):
            m.d.sync += [held.eq(key) for held, key in zip(held_keys, keys, strict=True)]
            if level:
                m.d.sync += [
                    held.eq(place) for held, place in zip(held_places, places, strict=True)
                ]
        return held_keys, held_places, held_flags
