"""What keeps several cores together: instructions to all, done when all are done."""

from amaranth.hdl import Array, Cat, Module, Mux, ShapeLike, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.control.queue import IN_FLIGHT


class Fork(Component):
    """A stream to several takers, each of which takes every item once, in its own time.

    An item is taken in the cycle in which the last of them takes it; combinational. Whether the
    next one would be does not depend on its being there.

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
        had, can = self.ahead, Cat(taker.ready for taker in self.takers)
        for number, taker in enumerate(self.takers):
            m.d.comb += [
                taker.payload.eq(self.items.payload),
                taker.valid.eq(self.items.valid & ~had[number]),
            ]
        m.d.comb += self.items.ready.eq((had | can).all())
        with m.If(self.items.valid):
            m.d.sync += had.eq(Mux(self.items.ready, 0, had | can))
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
        m.d.comb += self.done.eq((self.each | self.ahead).all())
        for number, (each, ahead) in enumerate(zip(self.each, self.ahead, strict=True)):
            more = Signal(range(IN_FLIGHT + 1), name=f"more_{number}")
            # Whether there are any is known from a register.
            with m.If(each & ~self.done):
                m.d.sync += [more.eq(more + 1), ahead.eq(1)]
            with m.Elif(~each & self.done):
                m.d.sync += [more.eq(more - 1), ahead.eq(more != 1)]
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

    Cores take turns, one item each; combinational. Whose turn it is, is known from a register, so
    the first item after a pause may wait for a cycle.

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
        turn, following = Signal(range(self.count)), Signal(range(self.count))
        valid = Array(item.valid for item in self.items)
        m.d.comb += [
            following.eq(turn),
            fork.items.valid.eq(valid[turn]),
            fork.items.payload.eq(Array(item.payload for item in self.items)[turn]),
        ]
        # The next core that has something; the same one again where no other has.
        for distance in reversed(range(1, self.count)):
            with m.Switch(turn):
                for number in range(self.count):
                    other = (number + distance) % self.count
                    with m.Case(number), m.If(valid[other]):
                        m.d.comb += following.eq(other)
        for number, item in enumerate(self.items):
            m.d.comb += item.ready.eq(fork.items.ready & (turn == number))
        # Once an item is shown it stays.
        with m.If(fork.items.ready | ~fork.items.valid):
            m.d.sync += turn.eq(following)
        for taker, out in zip(fork.takers, self.takers, strict=True):
            m.d.comb += [
                out.payload.eq(taker.payload),
                out.valid.eq(taker.valid),
                taker.ready.eq(out.ready),
            ]
        return m
