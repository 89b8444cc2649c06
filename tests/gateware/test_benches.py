"""Every component has a bench, and what streams is crossed with idle and back-pressure."""

import importlib
import inspect
import pkgutil
from itertools import product
from pathlib import Path

import pytest
from amaranth.lib.wiring import Component

import alula.gateware
from alula.bench import PATTERNS, Bench
from alula.bench.ports import find_ports

HERE = Path(__file__).parent

TOGETHER = {
    "Rig": {
        "Accumulator",
        "AccumulatorControl",
        "SparseAccumulator",
        "SparseAccumulatorControl",
    },
    "Lane": {"SfuLane"},
    "Sfu": {
        "SfuBest",
        "SfuCheck",
        "SfuFeed",
        "SfuLanes",
        "SfuMask",
        "SfuMaxima",
        "SfuQuantise",
        "SfuReduce",
        "SfuSequencer",
    },
    "Activation": {"FloatActivation"},
    "SfuSum": {"SumLane"},
    "Load": {"LoadDelivery", "LoadGather", "LoadMatrix", "LoadVector"},
    "Store": {"KeyRuns", "RunWriter", "StoreCache", "StoreVector", "StoreWord", "ValueRuns"},
    "Matrix": {
        "Chains",
        "Commands",
        "Mpe",
        "Operands",
        "ProductUse",
        "Reach",
        "SparseOperands",
        "SparseSums",
        "Weighing",
    },
}
"""Components that a bench has beside what they need, by what that is called."""

ELSEWHERE = {
    "Core": "../rtl/test_core.py",
    "Scan": "test_scan.py",
    "Top": "../rtl/test_driver.py",
}
"""Components that are simulated as libraries: programs run on them, or registers shift."""


@pytest.fixture(scope="module")
def benches() -> dict[str, list[Bench]]:
    """The benches of this folder, by their component."""
    for file in sorted(HERE.glob("test_*.py")):
        importlib.import_module(f"tests.gateware.{file.stem}")
    found: dict[str, list[Bench]] = {}
    for bench in Bench.all_made():
        if bench.file.parent == HERE:
            found.setdefault(type(bench.make()).__name__, []).append(bench)
    return found


def components() -> set[str]:
    """Every component of the gateware but those that others there inherit from."""
    found, inherited = set(), set()
    for item in pkgutil.walk_packages(alula.gateware.__path__, "alula.gateware."):
        module = importlib.import_module(item.name)
        for name, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__ and issubclass(kind, Component):
                found.add(name)
                inherited |= {parent.__name__ for parent in kind.__bases__}
    return found - inherited


def test_every_component_has_a_bench(benches: dict[str, list[Bench]]) -> None:
    together = {name for harness in benches for name in TOGETHER.get(harness, ())}
    assert components() - set(benches) - together - set(ELSEWHERE) == set()


def test_no_component_is_excused_that_is_not_there(benches: dict[str, list[Bench]]) -> None:
    known = components()
    assert set(TOGETHER) <= set(benches)
    assert set().union(*TOGETHER.values(), ELSEWHERE) <= known
    assert all((HERE / file).is_file() for file in ELSEWHERE.values())


CROSS = set(product(PATTERNS, PATTERNS))


def test_streams_are_crossed_with_idle_and_back_pressure(benches: dict[str, list[Bench]]) -> None:
    """As cases declare it, which their runs hold them to. What has an own way is named here."""
    lacking = {}
    for component, found in benches.items():
        streams = any(find_ports(bench.make())[0] for bench in found)
        crossed = {(case.idle, case.pressure) for bench in found for case in bench.cases}
        if streams and not crossed >= CROSS:
            lacking[component] = [tuple(map(str, pair)) for pair in CROSS - crossed]
    lacking.pop("Matrix", None)  # three streams, each with patterns of its own
    lacking.pop("Clocked", None)  # a command and the clock that it wakes
    assert lacking == {}
