from tests.gateware.refusals import refuses

from alula.bench import Bench, Case, Mismatch, Unit, each_case
from alula.gateware.control.activity import Activity
from alula.gateware.control.counters import LATENCY, ROWS, Counters
from alula.isa import Engine

STEP = 64


def counts(*, ask_often: bool, cycles: int = 3000):
    """Compare with counting in Python; all rows at the end, some at any time."""

    async def body(unit: Unit) -> None:
        wires, random = unit.wires, unit.random
        now, history, running = [0] * ROWS, [], False
        busiest = random.choice(list(Activity))
        index: int | None = None
        left, asked_for, answers = list(range(ROWS)), 0, 0
        for cycle in range(cycles + 2 * ROWS * (LATENCY + 2)):
            counting = cycle < cycles
            clear = counting and random.random() < 0.001
            running = counting and (random.random() < 0.99 if running else random.random() < 0.2)
            if index is None and counting and (ask_often or random.random() < 0.1):
                index, asked_for = random.randrange(ROWS), cycle
            elif index is None and not counting and left:
                index, asked_for = left.pop(), cycle
            often = random.random() < 0.7
            uses = [busiest if often else random.choice(list(Activity)) for _ in Engine]
            read, written = random.choice([0, STEP]), random.randrange(STEP + 1)
            values = {"clear": clear, "running": running, "ask": index is not None}
            values |= {"index": index or 0, "read": read, "written": written}
            for name, value in values.items():
                wires[name].set(int(value))
            for engine, use in zip(Engine, uses, strict=True):
                wires[f"use__{int(engine)}"].set(use)
            history.append(now)
            await unit.cycles()
            if wires["valid"].get():
                if index is None:
                    raise Mismatch(f"nothing must be shown that was not asked for, cycle {cycle}")
                found, expected = wires["value"].get(), history[-3][index]
                # Rows that are cleared on their way are zero or what they were.
                if found != expected and [0] * ROWS not in history[-3:]:
                    raise Mismatch(f"row {index} must be {expected}, not {found}, cycle {cycle}")
                index, answers = None, answers + 1
            elif index is not None and cycle - asked_for > LATENCY:
                raise Mismatch(f"row {index} must come within {LATENCY} cycles")
            gains = [int(use == other) for use in uses for other in Activity] + [1, read, written]
            if running:
                now = [total + gain for total, gain in zip(now, gains, strict=True)]
            if clear:
                now = [0] * ROWS
        if left or index is not None or answers < 2 * ROWS:
            raise Mismatch(f"every row must be shown in the end, not {answers}")

    return body


BENCH = Bench(
    "counters",
    lambda: Counters(step=STEP),
    [
        Case("seldom asked", counts(ask_often=False)),
        Case("asked all the time", counts(ask_often=True)),
    ],
)


@each_case(BENCH)
def test_counters(case):
    case.check()


def test_parameters_are_checked():
    refuses("step must be at least 1, not 0", lambda: Counters(step=0))
