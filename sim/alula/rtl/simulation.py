"""A Verilated module driven from Python without a step of Python in each cycle."""

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from amaranth.lib import wiring

from alula.gateware.hdl.repeat import emit, ports
from alula.progress import Progress, silent
from alula.rtl.verilate import BuildOptions, verilate

_FOLDER = Path(__file__).parent
_HARNESS = ("harness.h", "harness.cpp")
_SMALL = ((8, ctypes.c_uint8), (16, ctypes.c_uint16), (32, ctypes.c_uint32), (64, ctypes.c_uint64))


class Simulation:
    """A running model. Ports are unsigned numbers by name; outputs are those after the last step.

    A context manager: the model is gone when the block ends.
    """

    def __init__(self, library: Path, widths: Mapping[str, int]) -> None:
        self.cycles = 0
        self.library = ctypes.CDLL(str(library))
        self.library.alula_open.restype = ctypes.c_void_p
        self.library.alula_step.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
        self.library.alula_eval.argtypes = self.library.alula_close.argtypes = [ctypes.c_void_p]
        self.library.alula_port.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self.library.alula_port.restype = ctypes.c_void_p
        self.model = self.library.alula_open()
        self._ports = {
            name: (width, *self._cell(index, width))
            for index, (name, width) in enumerate(widths.items())
        }

    def set(self, name: str, value: int) -> None:
        """Set an input. It counts from the next `step` or `settle` on.

        Raises:
            ValueError: the value has more bits than the port.
        """
        width, words, bits = self._ports[name]
        if not 0 <= value < 1 << width:
            raise ValueError(f"{name} must be 0 to {(1 << width) - 1}, not {value}")
        for index in range(len(words)):
            words[index] = value >> (index * bits) & ((1 << bits) - 1)

    def get(self, name: str) -> int:
        """Return a port's value."""
        _, words, bits = self._ports[name]
        return sum(word << (index * bits) for index, word in enumerate(words))

    def settle(self) -> None:
        """Let the inputs reach the outputs that do not wait for the clock."""
        self.library.alula_eval(self.model)

    def step(self, cycles: int = 1) -> None:
        """Let cycles pass, inputs standing still."""
        self.library.alula_step(self.model, cycles)
        self.cycles += cycles

    def reset(self, cycles: int = 2) -> None:
        """Hold the reset for some cycles."""
        self.set("rst", 1)
        self.step(cycles)
        self.set("rst", 0)

    def close(self) -> None:
        """End the simulation; no other call may follow."""
        if self.model is not None:
            self.library.alula_close(self.model)
            self.model = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _cell(self, index: int, width: int) -> tuple[ctypes.Array, int]:
        """Return the memory of a port, as Verilator lays it out, and the bits of each word."""
        place = self.library.alula_port(self.model, index)
        for bits, kind in _SMALL:
            if width <= bits:
                return (kind * 1).from_address(place), bits
        return (ctypes.c_uint32 * -(-width // 32)).from_address(place), 32


def simulate(component: wiring.Component, progress: Progress = silent) -> Simulation:
    """Return a component's simulation, built or taken from the cache, before its reset.

    Raises:
        ToolchainError: a tool is missing or refuses the Verilog.
    """
    modules = emit(component)
    widths = {"clk": 1, "rst": 1}
    widths |= {name: len(value) for name, (value, _) in ports(component).items()}
    texts = library_texts(widths)
    options = BuildOptions(texts=texts, shared=True, optimise="-O1")
    return Simulation(verilate(modules, next(iter(modules)), options, progress), widths)


def library_texts(widths: Mapping[str, int]) -> dict[str, str]:
    """Return the C++ of the library behind `Simulation`, by file name."""
    cases = "".join(
        f"        case {index}: return &top.{_member(name)};\n" for index, name in enumerate(widths)
    )
    table = (
        '#include "harness.h"\n\n'
        'extern "C" void* alula_port(Simulation* simulation, int index) {\n'
        "    Vtop& top = *simulation->top;\n"
        f"    switch (index) {{\n{cases}        default: return nullptr;\n    }}\n}}\n"
    )
    return {name: (_FOLDER / name).read_text(encoding="utf-8") for name in _HARNESS} | {
        "ports.cpp": table
    }


def _member(port: str) -> str:
    """Return the name that Verilator gives a port's member: two underscores are one escape."""
    return port.replace("__", "___05F")
