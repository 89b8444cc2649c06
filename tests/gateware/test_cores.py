"""What goes between cores: nothing lost, nothing twice, everywhere in the same order."""

from random import Random

import pytest
from amaranth.sim import Simulator

from alula.gateware.cores import Fork, Gather, Join, Share

CYCLES = 2000


def simulate(dut, bench) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-6, if_exists=True)
    simulator.add_testbench(bench)
    simulator.run()


class Source:
    """Offers 0, 1, 2 ... with a mark; what is offered stays."""

    def __init__(self, port, mark: int) -> None:
        self.port, self.next, self.mark, self.offers = port, 0, mark, False

    @property
    def item(self) -> int:
        return self.mark << 12 | self.next

    def offer(self, ctx, random: Random) -> None:
        self.offers |= random.random() < 0.5
        ctx.set(self.port.valid, self.offers)
        ctx.set(self.port.payload, self.item)

    def take(self, ctx) -> bool:
        taken = self.offers and bool(ctx.get(self.port.ready))
        if taken:
            self.next, self.offers = self.next + 1, False
        return taken


def takes(ctx, port) -> list[int]:
    """What passes in this cycle."""
    return [ctx.get(port.payload)] if ctx.get(port.valid) and ctx.get(port.ready) else []


@pytest.mark.parametrize("count", [2, 3])
def test_fork(count: int) -> None:
    dut, random = Fork(shape=16, count=count), Random(count)

    async def bench(ctx):
        source, seen = Source(dut.items, 1), [[] for _ in range(count)]
        for _ in range(CYCLES):
            source.offer(ctx, random)
            for taker in dut.takers:
                ctx.set(taker.ready, random.random() < 0.5)
            for taker, items in zip(dut.takers, seen, strict=True):
                items += takes(ctx, taker)
            item = source.item
            if source.take(ctx):
                assert all(items[-1] == item for items in seen)
            await ctx.tick()
        expected = [1 << 12 | number for number in range(source.next)]
        assert source.next > CYCLES / 8
        assert all(items[: source.next] == expected for items in seen)
        assert all(len(items) <= source.next + 1 for items in seen)

    simulate(dut, bench)


def test_join() -> None:
    dut, random = Join(count=3), Random(1)

    async def bench(ctx):
        done, each = 0, [0, 0, 0]
        for _ in range(CYCLES):
            ends = [random.random() < 0.4 and n - done < 16 for n in each]
            each = [n + end for n, end in zip(each, ends, strict=True)]
            ctx.set(dut.each, sum(end << number for number, end in enumerate(ends)))
            expected = min(each) > done
            assert ctx.get(dut.done) == expected
            done += expected
            await ctx.tick()
        assert done > CYCLES / 4

    simulate(dut, bench)


def test_gather() -> None:
    dut, random = Gather(bits=16, count=2), Random(2)

    async def bench(ctx):
        sources = [Source(port, mark) for mark, port in enumerate(dut.parts)]
        passed = 0
        for _ in range(CYCLES):
            for source in sources:
                source.offer(ctx, random)
            for whole in dut.wholes:
                ctx.set(whole.ready, random.random() < 0.6)
            expected = sources[1].item << 16 | sources[0].item
            seen = [takes(ctx, whole) for whole in dut.wholes]
            taken = [source.take(ctx) for source in sources]
            assert taken[0] == taken[1]
            assert seen == [[expected] if taken[0] else []] * 2
            passed += taken[0]
            await ctx.delay(1e-6)
        assert passed > CYCLES / 16

    simulate(dut, bench)


@pytest.mark.parametrize("count", [2, 3])
def test_share(count: int) -> None:
    dut, random = Share(shape=16, count=count), Random(count)

    async def bench(ctx):
        sources = [Source(port, mark) for mark, port in enumerate(dut.items)]
        order: list[int] = []
        seen: list[list[int]] = [[] for _ in range(count)]
        for _ in range(CYCLES):
            for source in sources:
                source.offer(ctx, random)
            for taker in dut.takers:
                ctx.set(taker.ready, random.random() < 0.6)
            for taker, items in zip(dut.takers, seen, strict=True):
                items += takes(ctx, taker)
            items = [source.item for source in sources]
            taken = [item for item, source in zip(items, sources, strict=True) if source.take(ctx)]
            assert len(taken) <= 1
            order += taken
            await ctx.tick()
        assert all(items[: len(order)] == order for items in seen)
        for mark, source in enumerate(sources):
            mine = [item for item in order if item >> 12 == mark]
            assert mine == [mark << 12 | number for number in range(source.next)]
            assert source.next > CYCLES / 16 / count

    simulate(dut, bench)
