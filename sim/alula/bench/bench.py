"""A unit with its cases: built once, simulated in one process, reported case by case to pytest."""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from amaranth.lib import wiring

from alula.bench.ports import find_ports
from alula.bench.scoreboard import Mismatch
from alula.gateware.hdl.repeat import emit
from alula.processes import run
from alula.rtl import BuildOptions, verilate

if TYPE_CHECKING:
    import pytest

    from alula.bench.cases import Case

_DEFAULT_SEED = "1"


@dataclass(frozen=True)
class Result:
    """How a case went. `error` is None where it passed."""

    error: str | None
    cycles: int
    seconds: float


@dataclass(frozen=True)
class BoundCase:
    """A case of a bench, for pytest."""

    bench: "Bench"
    case: "Case"

    def __str__(self) -> str:
        return f"{self.bench.name}-{self.case.name}"

    def check(self) -> None:
        """Fail with what the case says. The bench's first check simulates all of its cases."""
        __tracebackhide__ = True
        result = self.bench.results()[self.case.name]
        if result.error is not None:
            raise Mismatch(f"{self}: {result.error}\n  {self._waves()}")

    def _waves(self) -> str:
        """Say where the waves are, or what makes them; the seed is part of it."""
        folder = os.environ.get("ALULA_WAVES")
        if folder:
            return f"ALULA_SEED={seed()}, waves: {self.bench.waves(folder)}"
        variables = f"ALULA_SEED={seed()} ALULA_WAVES=waves"
        return f"{variables} python -m pytest {self.bench.file} -k '{self}' writes waves"


class Bench:
    """A unit and its cases. Make it at the top of a test file: the simulator runs that file too.

    `make` gives a new component each time; `name` must be unique in the file. With ALULA_WAVES set
    to a folder, the waves of all cases are written there as an FST file.
    """

    finished: ClassVar[list["Bench"]] = []
    """The benches of this process that have been simulated."""

    _made: ClassVar[dict[tuple[str, str], "Bench"]] = {}

    def __init__(
        self, name: str, make: Callable[[], wiring.Component], cases: Iterable["Case"]
    ) -> None:
        self.name = name
        self.make = lambda: _unused(make())
        self.cases = tuple(cases)
        names = [case.name for case in self.cases]
        if len(set(names)) != len(names):
            raise ValueError(f"the cases of {name!r} must have names of their own, not {names}")
        caller = sys._getframe(1).f_globals
        self.file = Path(caller["__file__"]).resolve()
        key = (caller["__name__"], name)
        if key in self._made:
            raise ValueError(f"a bench's name must be unique in its file, not {name!r} again")
        self._made[key] = self
        self._results: dict[str, Result] | None = None
        self._error: Exception | None = None

    @classmethod
    def made_in(cls, module: str, name: str) -> "Bench":
        """Return a bench by the module that made it and its name."""
        return cls._made[module, name]

    @classmethod
    def all_made(cls) -> list["Bench"]:
        """Return every bench that this process has made."""
        return list(cls._made.values())

    def results(self) -> dict[str, Result]:
        """Return how each case went; simulate them if that has not been done."""
        if self._error is not None:
            raise self._error
        if self._results is None:
            try:
                self._results = self._simulate([case.name for case in self.cases])
            except Exception as error:
                self._error = error
                raise
            Bench.finished.append(self)
            print(self.summary())
        return self._results

    def waves(self, folder: str) -> Path:
        """Return the file of the waves of all cases, in a folder."""
        return Path(folder).expanduser().resolve() / f"{self.name}.fst"

    def summary(self) -> str:
        """Return one line: cases, failures, cycles, speed, seed."""
        results = list((self._results or {}).values())
        failed = sum(result.error is not None for result in results)
        cycles = sum(result.cycles for result in results)
        seconds = sum(result.seconds for result in results)
        return (
            f"{self.name}: {len(results)} cases, {failed} failed, {cycles:,} cycles,"
            f" {cycles / max(seconds, 1e-9):,.0f} cycles/s, seed {seed()}"
        )

    def build(self, trace: bool = False) -> tuple[Path, str]:
        """Return the simulator of the unit, from the cache if it is there, and its top module."""
        from cocotb_tools import config

        component = self.make()
        modules = emit(component)
        top = next(iter(modules))
        streams, others = find_ports(component)
        ports = [*others, *(part for stream in streams for part in stream.parts)]
        names = ["clk", "rst", *(port.name for port in ports if port.width)]
        libs = config.libs_dir
        options = BuildOptions(
            sources=(config.share_dir / "lib" / "verilator" / "verilator.cpp",),
            vpi=True,
            trace=trace,
            public={top: names},
            link_flags=(f"-L{libs}", f"-Wl,-rpath,{libs}", "-lcocotbvpi_verilator"),
        )
        return verilate(modules, top, options), top

    def _simulate(self, cases: Sequence[str]) -> dict[str, Result]:
        waves = os.environ.get("ALULA_WAVES")
        program, top = self.build(trace=bool(waves))
        with tempfile.TemporaryDirectory(prefix="alula-bench-") as folder:
            order = Path(folder) / "order.json"
            results = Path(folder) / "results.jsonl"
            order.write_text(
                json.dumps(
                    {
                        "file": str(self.file),
                        "bench": self.name,
                        "cases": cases,
                        "seed": seed(),
                        "results": str(results),
                    }
                ),
                encoding="utf-8",
            )
            arguments: list[str | Path] = [program]
            if waves:
                place = self.waves(waves)
                place.parent.mkdir(parents=True, exist_ok=True)
                arguments += ["--trace", "--trace-file", place]
            done = run(arguments, cwd=Path(folder), env=_environment(top, order))
            lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
        found = {}
        for line in map(json.loads, lines):
            found[line["case"]] = Result(line["error"], line["cycles"], line["seconds"])
        tail = "\n".join(done.output.splitlines()[-40:])
        if done.code and len(found) == len(cases):
            raise RuntimeError(f"the simulator must end with 0, not {done.code}:\n{tail}")
        lost = Result(f"the simulator ended with {done.code} before its result:\n{tail}", 0, 0)
        return {name: found.get(name, lost) for name in cases}


def each_case(*benches: Bench) -> "pytest.MarkDecorator":
    """Return a mark that makes one pytest test of each case, with parameter `case`."""
    import pytest

    bound = [BoundCase(bench, case) for bench in benches for case in bench.cases]
    return pytest.mark.parametrize("case", bound, ids=str)


def seed() -> str:
    """Return the seed of all cases: ALULA_SEED, or the same each time."""
    return os.environ.get("ALULA_SEED") or _DEFAULT_SEED


def _unused(component: wiring.Component) -> wiring.Component:
    """Return a component that Amaranth does not complain of if it is not elaborated."""
    component._MustUse__used = True  # pyright: ignore[reportAttributeAccessIssue]
    for held in vars(component).values():
        for part in held if isinstance(held, list) else [held]:
            if isinstance(part, wiring.Component):
                _unused(part)
    return component


def _environment(top: str, order: Path) -> dict[str, str]:
    import find_libpython
    from cocotb_tools import config

    libpython = find_libpython.find_libpython()
    if libpython is None:
        raise RuntimeError("Python must come with its shared library (libpython), for cocotb")
    return {
        **os.environ,
        "ALULA_BENCH": str(order),
        "COCOTB_LOG_LEVEL": "WARNING",
        "COCOTB_RANDOM_SEED": "1",
        "COCOTB_RESULTS_FILE": str(order.with_name("results.xml")),
        "COCOTB_REWRITE_ASSERTION_FILES": "",
        "COCOTB_TEST_MODULES": "alula.bench.inside",
        "COCOTB_TOPLEVEL": top,
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        "GPI_USERS": f"{libpython};{config.pygpi_entry_point()}",
        "PYGPI_PYTHON_BIN": sys.executable,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "TOPLEVEL_LANG": "verilog",
    }
