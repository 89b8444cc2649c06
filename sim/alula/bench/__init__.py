"""The generic unit bench: a unit's test is a table and a function.

    BENCH = Bench(
        "doubler",
        lambda: Doubler(width=8),
        stream_cases({"all": range(256)}, each(lambda item: 2 * item)),
    )

    @each_case(BENCH)
    def test_doubler(case: BoundCase) -> None:
        case.check()

The component is emitted, built with Verilator (once, the build is kept by content) and simulated
under cocotb, all cases in one process. Every table is crossed with idle and back-pressure.
"""

from importlib.util import find_spec

if find_spec("cocotb") is None:
    raise ModuleNotFoundError('benches need cocotb, not installed: pip install "alula[bench]"')

from alula.bench.bench import Bench, BoundCase, Result, each_case, seed
from alula.bench.cases import Case, Table, case, crossed, each, pipeline_cases, stream_cases
from alula.bench.patterns import ALTERNATE, ALWAYS, BURSTS, PATTERNS, Pattern, random_pattern
from alula.bench.roles import Driver, Monitor, Responder, Role
from alula.bench.scoreboard import ANYTHING, Mismatch, Scoreboard
from alula.bench.unit import Unit

__all__ = [
    "ALTERNATE",
    "ALWAYS",
    "ANYTHING",
    "BURSTS",
    "PATTERNS",
    "Bench",
    "BoundCase",
    "Case",
    "Driver",
    "Mismatch",
    "Monitor",
    "Pattern",
    "Responder",
    "Result",
    "Role",
    "Scoreboard",
    "Table",
    "Unit",
    "case",
    "crossed",
    "each",
    "each_case",
    "pipeline_cases",
    "random_pattern",
    "seed",
    "stream_cases",
]
