"""A component that is used many times is elaborated and emitted once."""

import enum
import gc
import time
import warnings
from pathlib import Path
from random import Random

import pytest
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from tests.gateware.refusals import refuses

from alula.bench import Bench, BoundCase, each_case, pipeline_cases
from alula.gateware.hdl.repeat import emit, emitted, shared

WIDTH = 12


class Style(enum.Enum):
    PLAIN = 0
    FANCY = 1


class Cell(wiring.Component):
    """One stage: times 3 plus a constant."""

    elaborated = 0

    def __init__(self, *, plus: int, style: Style = Style.PLAIN) -> None:
        self.plus = plus
        self.style = style
        super().__init__({"x": In(WIDTH), "y": Out(WIDTH)})

    def elaborate(self, platform: object) -> Module:
        Cell.elaborated += 1
        m = Module()
        m.d.sync += self.y.eq(3 * self.x + self.plus)
        return m


class Row(wiring.Component):
    """Cells in a row, of two kinds in turn."""

    def __init__(self, *, cells: int, flat: bool = False) -> None:
        self.cells = cells
        self.flat = flat
        super().__init__({"x": In(WIDTH), "y": Out(WIDTH)})

    def elaborate(self, platform: object) -> Module:
        return in_a_row(self, [Cell(plus=index % 2) for index in range(self.cells)], self.flat)


class Grid(wiring.Component):
    """Rows in a row."""

    def __init__(self, *, rows: int, cells: int, flat: bool = False) -> None:
        self.rows = rows
        self.cells = cells
        self.flat = flat
        super().__init__({"x": In(WIDTH), "y": Out(WIDTH)})

    def elaborate(self, platform: object) -> Module:
        rows = [Row(cells=self.cells, flat=self.flat) for _ in range(self.rows)]
        return in_a_row(self, rows, self.flat)


def in_a_row(outer: Row | Grid, parts: list[Cell] | list[Row], flat: bool) -> Module:
    m = Module()
    value = outer.x
    for index, part in enumerate(parts):
        m.submodules[f"part_{index}"] = part if flat else shared(part)
        m.d.comb += part.x.eq(value)
        value = part.y
    m.d.comb += outer.y.eq(value)
    return m


def expected(x: int) -> int:
    for _ in range(8):
        for index in range(8):
            x = (3 * x + index % 2) % (1 << WIDTH)
    return x


def grid_bench(name: str, flat: bool) -> Bench:
    cases = pipeline_cases(
        {"random": lambda random: [random.getrandbits(WIDTH) for _ in range(100)]},
        expected,
        latency=64,
        inputs=["x"],
        output="y",
    )
    return Bench(name, lambda: Grid(rows=8, cells=8, flat=flat), cases)


@pytest.mark.smoke
@each_case(grid_bench("grid", flat=False), grid_bench("grid_flat", flat=True))
def test_same_behaviour_as_flat(case: BoundCase) -> None:
    case.check()


def test_one_text_for_each_kind() -> None:
    Cell.elaborated = 0
    modules = emit(Grid(rows=8, cells=8))
    assert list(modules) == [
        "Grid_rows8_cells8_no_flat",
        "Row_cells8_no_flat",
        "Cell_plus0_plain",
        "Cell_plus1_plain",
    ]
    assert Cell.elaborated == 2
    for name, text in modules.items():
        assert text.startswith(f"module {name}(")
        assert text.count("endmodule") == 1
    assert modules["Row_cells8_no_flat"].count("Cell_plus0_plain part_") == 4


def test_the_same_text_each_time() -> None:
    assert emit(Grid(rows=2, cells=3)) == emit(Grid(rows=2, cells=3))


def test_submodules_that_are_not_shared_stay_with_their_module() -> None:
    modules = emit(Row(cells=2, flat=True), "row")
    assert list(modules) == ["row"]
    assert modules["row"].count("endmodule") == 3


def test_elaboration_does_not_grow_with_copies() -> None:
    def cost(rows: int) -> float:
        started = time.process_time()
        emit(Grid(rows=rows, cells=16))
        return time.process_time() - started

    cost(1)
    few, many = cost(1), cost(64)
    assert many < 4 * few + 0.5, (few, many)


class Shapeless(wiring.Component):
    """Its signature depends on more than its parameters."""

    def __init__(self, *, width: int, extra: list[int]) -> None:
        self.width = width
        self.extra = []
        super().__init__({f"x{index}": In(width) for index in range(len(extra))})

    def elaborate(self, platform: object) -> Module:
        return Module()


class Hidden(wiring.Component):
    def __init__(self, *, secret: int) -> None:
        super().__init__({"y": Out(1)})

    def elaborate(self, platform: object) -> Module:
        return Module()


class Two(wiring.Component):
    def __init__(self) -> None:
        super().__init__({"y": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.one = shared(Shapeless(width=2, extra=[1]))
        m.submodules.two = shared(Shapeless(width=2, extra=[1, 2]))
        return m


def test_refusals() -> None:
    refuses(r"^components of the same class and parameters must have", lambda: emit(Two()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(TypeError, match=r"must be a wiring\.Component, not 3$"):
            shared(3)
        with pytest.raises(TypeError, match=r"^Hidden's parameter 'secret' must be readable as"):
            emit(Hidden(secret=1))
        gc.collect()


def test_a_component_without_parameters() -> None:
    class Plain(wiring.Component):
        x: In(1)
        y: Out(1)

        def elaborate(self, platform: object) -> Module:
            m = Module()
            m.d.comb += self.y.eq(~self.x)
            return m

    assert list(emit(Plain())) == ["Plain"]


def test_names() -> None:
    class Sized(wiring.Component):
        def __init__(self, *, sizes: tuple[int, ...], offset: int) -> None:
            self.sizes = sizes
            self.offset = offset
            super().__init__({"x": In(1), "y": Out(1)})

        def elaborate(self, platform: object) -> Elaboratable:
            m = Module()
            m.d.comb += self.y.eq(self.x)
            return m

    first, second = (next(iter(emit(Sized(sizes=sizes, offset=-1)))) for sizes in [(1, 2), (1, 3)])
    assert first != second
    assert first.startswith("Sized_")
    assert first.endswith("_offsetm1")


def test_random_placement_order_gives_equal_modules() -> None:
    random = Random(1)
    sizes = random.sample(range(1, 6), 4)
    kinds = {name: text for cells in sizes for name, text in emit(Row(cells=cells)).items()}
    assert kinds["Cell_plus0_plain"] == emit(Row(cells=1))["Cell_plus0_plain"]


def test_signals_have_their_lines() -> None:
    """In the modules and in what stands in them flat; the text itself stays the same elsewhere."""
    found = emitted(Row(cells=1, flat=True), "row")
    path, _, line = found.sources["row"]["part_0.x"].rpartition(":")
    assert path == "tests/gateware/test_repeat.py"
    assert "super().__init__" in Path(__file__).read_text().splitlines()[int(line) - 1]
    assert "part_0.clk" in found.sources["row"]
    assert found.modules == emit(Row(cells=1, flat=True), "row")
    apart = emitted(Row(cells=1), "row").sources
    assert "x" in apart[next(name for name in apart if name.startswith("Cell"))]


def test_lines_are_not_in_the_text() -> None:
    class Holder(wiring.Component):
        x: In(4)
        y: Out(8)

        def elaborate(self, platform: object) -> Module:
            m = Module()
            m.submodules.memory = memory = Memory(shape=8, depth=16, init=[])
            port = memory.read_port()
            m.d.comb += [port.addr.eq(self.x), port.en.eq(1), self.y.eq(port.data)]
            return m

    found = emitted(Holder(), "holder")
    path, _, _ = found.sources["holder"]["memory"].partition(":")
    assert path == "tests/gateware/test_repeat.py"
    assert "src" not in found.modules["holder"]
