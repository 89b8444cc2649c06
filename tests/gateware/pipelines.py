"""Vectors through a pipeline: inputs with gaps, results in order and on time."""

from collections.abc import Mapping, Sequence
from random import Random

from amaranth.lib import wiring
from amaranth.sim import Simulator, SimulatorContext


def through(
    unit: wiring.Component, latency: int, vectors: Sequence[Mapping[str, int]], idle: float = 0.1
) -> list[int]:
    """What `unit` answers to each vector; `latency` is checked for every one."""
    random = Random(len(vectors))
    results: list[int] = []

    async def bench(ctx: SimulatorContext) -> None:
        due: list[bool] = [False] * latency
        waiting = list(reversed(vectors))
        while waiting or any(due):
            go = bool(waiting) and random.random() >= idle
            ctx.set(unit.valid, go)
            if go:
                for name, item in waiting.pop().items():
                    ctx.set(getattr(unit, name), item)
            due.append(go)
            await ctx.tick()
            due.pop(0)
            assert bool(ctx.get(unit.result_valid)) == due[0], "not on time"
            if due[0]:
                results.append(ctx.get(unit.result))

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return results
