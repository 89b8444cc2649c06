from random import Random

import pytest
from amaranth.sim import Simulator
from tests.gateware.refusals import refuses

from alula.gateware.ring import Ring
from alula.gateware.weight_stream import WeightStream


@pytest.mark.parametrize(("depth", "pair"), [(4, False), (7, False), (4, True), (10, True)])
def test_random_walks_against_a_list(depth: int, pair: bool) -> None:
    """The whole history is a list of beats; pointers into it count quarters."""
    random = Random(depth)
    ring = Ring(width=16, depth=depth, pair=pair)
    most = 8 if pair else 1

    async def bench(ctx):
        beats: list[int] = []
        walker = stayed = 0
        moves = returns = 0
        for _ in range(4000):
            offers = random.random() < 0.6
            payload = random.getrandbits(16)
            step = min(random.randint(1, most), 8 - walker % 4)
            keep, back, align = (random.random() < p for p in (0.6, 0.2, 0.2))
            back &= keep
            align &= not keep
            room = len(beats) - stayed // 4 < depth
            if not room and 4 * len(beats) - walker < most:
                # Full in front of its walker: nothing moves until the second pointer follows.
                step, keep, back = 0, False, False
            ctx.set(ring.write.valid, offers)
            ctx.set(ring.write.payload, payload)
            ctx.set(ring.step, step)
            there = 4 * len(beats) - walker >= step
            assert ctx.get(ring.write.ready) == room
            assert ctx.get(ring.available) == there
            assert ctx.get(ring.empty) == (stayed == 4 * len(beats))
            moves_now = there and random.random() < 0.7
            for name, value in (("next", moves_now), ("keep", keep), ("back", back)):
                ctx.set(getattr(ring, name), value)
            ctx.set(ring.align, align)
            begin = walker
            if moves_now:
                moves += 1
                walker += step
                if align:
                    walker += -walker % 4
                if not keep:
                    stayed = walker
                elif back:
                    returns += 1
                    walker = stayed
            if offers and room:
                beats.append(payload)
            await ctx.tick()
            if moves_now:
                assert ctx.get(ring.phase) == begin % 4
                first = begin // 4
                for offset in range(-(-(begin % 4 + step) // 4) if step else 0):
                    assert ctx.get(ring.beats[offset]) == beats[first + offset]
        assert moves > 500
        assert returns > 50

    simulator = Simulator(ring)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_parameters_out_of_range() -> None:
    refuses("width must be at least 1, not 0", lambda: Ring(width=0, depth=4))
    refuses("depth must be at least 4, not 3", lambda: Ring(width=8, depth=3))
    refuses("depth must be even and at least 4, not 5", lambda: Ring(width=8, depth=5, pair=True))
    refuses("depth must be at least 16, not 8", lambda: WeightStream(rows=2, depth=8))
    refuses(
        r"rows must be a multiple of channels \(2\), not 3",
        lambda: WeightStream(rows=3, channels=2, depth=16),
    )
    refuses("tags must be at least 1, not 0", lambda: WeightStream(rows=2, depth=16, tags=0))
