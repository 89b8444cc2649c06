"""Registers in streams: nothing lost, nothing twice, no path around them, an item a cycle."""

from collections.abc import Iterable
from itertools import product
from random import Random

from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge
from tests.gateware.refusals import refuses

from alula.bench import Bench, BoundCase, Case, Mismatch, Unit, case, each, each_case, stream_cases
from alula.gateware.hdl import fifo, skid_buffer
from alula.gateware.hdl.fifo import RegisteredFifo
from alula.gateware.hdl.skid_buffer import SkidBuffer

ITEMS = 500
WIDTH = 24


def words(random: Random) -> list[int]:
    return [random.getrandbits(WIDTH) for _ in range(ITEMS)]


def cut_case(inputs: Iterable[str], outputs: Iterable[str]) -> Case:
    """Inputs that change between two edges change none of these outputs before the second."""

    async def run(unit: Unit) -> None:
        ports = {name: getattr(unit.dut, name) for name in (*inputs, *outputs)}
        for _, name in product(range(300), inputs):
            await RisingEdge(unit.clock)
            await ReadOnly()
            before = [int(ports[output].value) for output in outputs]
            await FallingEdge(unit.clock)
            ports[name].value = unit.random.getrandbits(len(ports[name]))
            await ReadOnly()
            after = [int(ports[output].value) for output in outputs]
            if after != before:
                raise Mismatch(f"{outputs} must not follow {name} at once: {before}, then {after}")

    return Case(f"{'_'.join(outputs)}_cut", run)


def latency_case(latency: int) -> Case:
    """An item that comes to nothing is offered `latency` cycles later."""

    async def run(unit: Unit) -> None:
        items, taken = unit.inputs["items"], unit.outputs["taken"]
        for word in words(unit.random)[:20]:
            items.offer(word)
            taken.accept(True)
            await unit.cycles()
            items.withdraw(unit.random)
            for cycle in range(1, latency + 3):
                await unit.cycles()
                if taken.valid_now() != (cycle == latency):
                    raise Mismatch(f"the item must be offered after {latency} cycles, not {cycle}")

    return Case("latency", run)


INPUTS = ("items__valid", "items__payload", "taken__ready")
FORWARD, BACK = ("taken__valid", "taken__payload"), ("items__ready",)

SKID_BUFFER = Bench(
    "skid_buffer",
    lambda: SkidBuffer(shape=WIDTH),
    [
        *stream_cases({"random": words}, each(lambda item: item), interval=1),
        latency_case(skid_buffer.LATENCY),
        cut_case(INPUTS, FORWARD),
        cut_case(INPUTS, BACK),
    ],
)

DEPTH = 6


@case
async def a_queue_holds_its_depth(unit: Unit) -> None:
    """Nobody takes anything: it takes as many items as it is deep, and all of them come out."""
    items = words(unit.random)
    driver = unit.drive("items", items)
    await unit.cycles(4 * DEPTH)
    if driver.sent != DEPTH:
        raise Mismatch(f"{DEPTH} items must be held, not {driver.sent}")
    await unit.finish(unit.expect("taken", items))


REGISTERED_FIFO = Bench(
    "registered_fifo",
    lambda: RegisteredFifo(shape=WIDTH, depth=DEPTH),
    [
        *stream_cases({"random": words}, each(lambda item: item), interval=1),
        a_queue_holds_its_depth,
        latency_case(fifo.LATENCY),
        cut_case(INPUTS, FORWARD),
        cut_case(INPUTS, BACK),
    ],
)


@each_case(REGISTERED_FIFO, SKID_BUFFER)
def test_slices(case: BoundCase) -> None:
    case.check()


def test_parameters_are_checked() -> None:
    refuses("depth must be at least 3, not 2", lambda: RegisteredFifo(shape=1, depth=2))
