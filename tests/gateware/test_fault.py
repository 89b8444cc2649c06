"""The latch keeps the first fault, whatever comes after it."""

from random import Random

from tests.gateware.refusals import refuses

from alula.bench import Bench, BoundCase, Unit, case, each_case
from alula.bench.scoreboard import Scoreboard
from alula.gateware.control.fault import Code, FaultLatch

SOURCES = 3


def report(random: Random) -> dict[str, int]:
    code = random.choice(list(Code)).value if random.random() < 0.2 else 0
    return {"code": code, "detail": random.getrandbits(32)}


@case
async def random_reports(unit: Unit) -> None:
    board = Scoreboard("fault")
    kept, coming = {"code": 0}, []
    for _ in range(1000):
        reports = [report(unit.random) for _ in range(SOURCES)]
        clear = unit.random.random() < 0.1
        for index, item in enumerate(reports):
            unit.wires[f"report__{index}"].set(item)
        unit.wires["clear"].set(int(clear))
        board.expected.append(kept)
        if clear:
            kept, reports = {"code": 0}, []
        elif not kept["code"]:
            kept = next((item for item in coming if item["code"]), kept)
        coming = [item | {"source": index} for index, item in enumerate(reports)]
        await unit.cycles()
        fault = unit.wires["fault"].get()
        board.take(fault | ({"source": unit.wires["source"].get()} if fault["code"] else {}))


LATCH = Bench("fault_latch", lambda: FaultLatch(sources=SOURCES), [random_reports])


@each_case(LATCH)
def test_fault_latch(case: BoundCase) -> None:
    case.check()


def test_refusal() -> None:
    refuses(r"^sources must be at least 1, not 0$", lambda: FaultLatch(sources=0))
