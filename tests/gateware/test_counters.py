from tests.gateware.refusals import refuses

from alula.bench import Bench, Case, Mismatch, Unit, each_case
from alula.gateware.control.counters import ROWS, Counters
from alula.gateware.control.use import Use
from alula.isa import Engine

STEP = 64


def counts(*, ask_often: bool, cycles: int = 3000):
    """Compare with counting in Python; all rows at the end, some at any time."""

    async def body(unit: Unit) -> None:
        wires, random = unit.wires, unit.random
        expected, asked_before, running = [0] * ROWS, False, False
        busiest = random.choice(list(Use))
        for cycle in range(cycles + 2 * ROWS):
            counting = cycle < cycles
            clear = random.random() < 0.001
            running = counting and (random.random() < 0.99 if running else random.random() < 0.2)
            ask = not asked_before and (ask_often or random.random() < 0.1 or not counting)
            index = random.randrange(ROWS) if counting else (cycle - cycles) // 2
            often = random.random() < 0.7
            uses = [busiest if often else random.choice(list(Use)) for _ in Engine]
            read, written = random.choice([0, STEP]), random.randrange(STEP + 1)
            values = {"clear": clear, "running": running, "ask": ask, "index": index}
            for name, value in (values | {"read": read, "written": written}).items():
                wires[name].set(int(value))
            for engine, use in zip(Engine, uses, strict=True):
                wires[f"use__{int(engine)}"].set(use)
            await unit.cycles()
            found = wires["value"].get()
            if ask and found != expected[index]:
                raise Mismatch(f"row {index} must be {expected[index]}, not {found}, cycle {cycle}")
            gains = [int(use == other) for use in uses for other in Use] + [1, read, written]
            if running:
                expected = [total + gain for total, gain in zip(expected, gains, strict=True)]
            if clear:
                expected = [0] * ROWS
            asked_before = ask

    return body


BENCH = Bench(
    "counters",
    lambda: Counters(step=STEP),
    [
        Case("seldom asked", counts(ask_often=False)),
        Case("asked every second cycle", counts(ask_often=True)),
    ],
)


@each_case(BENCH)
def test_counters(case):
    case.check()


def test_parameters_are_checked():
    refuses("step must be at least 1, not 0", lambda: Counters(step=0))
