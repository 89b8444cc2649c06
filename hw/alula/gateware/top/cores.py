"""What keeps several cores together: instructions to all, done when all are done."""

from amaranth.hdl import Array, Cat, Module, ShapeLike, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.control.queue import IN_FLIGHT


class Fork(Component):
    """A stream to several takers, each of which takes every item once, in its own time.

    An item is taken in the cycle in which the last of them takes it; combinational.

    Args:
        shape: Of an item.
        count: Takers.

    Members:
        items: In stream. takers: Out streams.
        ahead: Takers that have the item that is offered, while others do not.
    """

    def __init__(self, *, shape: ShapeLike, count: int) -> None:
        self.shape, self.count = shape, count
        super().__init__(
            {
                "items": In(stream.Signature(shape)),
                "takers": Out(stream.Signature(shape)).array(count),
                "ahead": Out(count),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        had, takes = self.ahead, Signal(self.count)
        for number, taker in enumerate(self.takers):
            m.d.comb += [
                taker.payload.eq(self.items.payload),
                taker.valid.eq(self.items.valid & ~had[number]),
                takes[number].eq(taker.valid & taker.ready),
            ]
        m.d.comb += self.items.ready.eq((had | takes).all())
        with m.If(self.items.ready):
            m.d.sync += had.eq(0)
        with m.Else():
            m.d.sync += had.eq(had | takes)
        return m


class Join(Component):
    """One `done` of those of several cores, in the cycle of the last; combinational.

    Args:
        count: Cores.

    Members:
        each: Each core's `done`. done: An instruction is done in all of them.
        ahead: Cores that are done with more instructions than all of them are.
    """

    def __init__(self, *, count: int) -> None:
        self.count = count
        super().__init__({"each": In(count), "done": Out(1), "ahead": Out(count)})

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        there = Signal(self.count)
        m.d.comb += self.done.eq(there.all())
        for number in range(self.count):
            more = Signal(range(IN_FLIGHT + 1), name=f"more_{number}")
            m.d.comb += [
                self.ahead[number].eq(more != 0),
                there[number].eq(self.each[number] | (more != 0)),
            ]
            m.d.sync += more.eq(more + self.each[number] - self.done)
        return m


class Gather(Component):
    """The slices of a beat that the cores hold, to all of them as a whole.

    A beat passes in the cycle in which every core has its slice and can take the whole; no latency.
    Unlike elsewhere, `valid` waits for `ready` here; it must not be the other way round as well.

    Args:
        bits: Of a slice.
        count: Cores.

    Members:
        slices: In streams, one a core. wholes: Out streams of all slices, the first core's lowest.
    """

    def __init__(self, *, bits: int, count: int) -> None:
        self.bits, self.count = bits, count
        super().__init__(
            {
                "slices": In(stream.Signature(bits)).array(count),
                "wholes": Out(stream.Signature(bits * count)).array(count),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        moves = Signal()
        m.d.comb += moves.eq(
            Cat(slice.valid for slice in self.slices).all()
            & Cat(whole.ready for whole in self.wholes).all()
        )
        for slice, whole in zip(self.slices, self.wholes, strict=True):
            m.d.comb += [
                slice.ready.eq(moves),
                whole.valid.eq(moves),
                whole.payload.eq(Cat(each.payload for each in self.slices)),
            ]
        return m


class Share(Component):
    """Items of each core to all cores; an item is taken once every core has it.

    Cores take turns, one item each; combinational.

    Args:
        shape: Of an item.
        count: Cores.

    Members:
        items: In streams, one a core. takers: Out streams, one a core.
    """

    def __init__(self, *, shape: ShapeLike, count: int) -> None:
        self.shape, self.count = shape, count
        super().__init__(
            {
                "items": In(stream.Signature(shape)).array(count),
                "takers": Out(stream.Signature(shape)).array(count),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        fork = m.submodules.fork = Fork(shape=self.shape, count=self.count)
        turn, chosen = Signal(range(self.count)), Signal(range(self.count))
        valid = Array(item.valid for item in self.items)
        m.d.comb += chosen.eq(turn)
        # The turn passes on from a core that has nothing; once an item is shown it stays.
        for distance in reversed(range(self.count)):
            with m.Switch(turn):
                for number in range(self.count):
                    other = (number + distance) % self.count
                    with m.Case(number), m.If(valid[other]):
                        m.d.comb += chosen.eq(other)
        m.d.comb += [
            fork.items.valid.eq(valid[chosen]),
            fork.items.payload.eq(Array(item.payload for item in self.items)[chosen]),
        ]
        for number, item in enumerate(self.items):
            m.d.comb += item.ready.eq(fork.items.ready & (chosen == number))
        with m.If(fork.items.valid):
            m.d.sync += turn.eq(chosen)
        with m.If(fork.items.valid & fork.items.ready):
            m.d.sync += turn.eq(0)
            for number in range(self.count - 1):
                with m.If(chosen == number):
                    m.d.sync += turn.eq(number + 1)
        for taker, out in zip(fork.takers, self.takers, strict=True):
            m.d.comb += [
                out.payload.eq(taker.payload),
                out.valid.eq(taker.valid),
                taker.ready.eq(out.ready),
            ]
        return m
