"""A core in Verilator as the host sees it: load an image, write, run a program, read."""

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alula.design import Design
from alula.isa import Image, Program
from alula.isa.instructions import Engine
from alula.rtl.dram import HEADERS, DramConfig, dram_config
from alula.rtl.emission import emitted_core
from alula.rtl.simulation import Simulation, library_texts
from alula.rtl.verilate import Progress, Recipe, verilate

__all__ = ["Outcome", "RtlDevice", "RtlError", "Timing"]

_FOLDER = Path(__file__).parent
_SOURCES = (*HEADERS, "port.h", "axi_memory.h", "core.h", "core.cpp")
_CONTROL = ("rst", "program", "parameter", "length", "start", "running", "faulty", "address")
_READ = ("araddr", "arlen", "arvalid", "arready", "rdata", "rresp", "rlast", "rvalid", "rready")
_WRITE = (
    *("awaddr", "awlen", "awvalid", "awready", "wdata", "wstrb", "wlast", "wvalid", "wready"),
    *("bresp", "bvalid", "bready"),
)
_ENDS = ("ended", "stopped on a fault", "stands still", "is at its limit")
_GOES_ON = 3
_SLICE = 20_000
"""Cycles between two looks at a run."""
_QUEUED = tuple(engine for engine in Engine if engine is not Engine.SYS)


class RtlError(Exception):
    """A run that did not end, and what every part was waiting for. Prints in one line."""


@dataclass(frozen=True)
class Timing:
    """How memory behaves: like the design's DRAM, or with fixed latencies; and random stalls.

    `read_latency`, if there is one, is the cycles from an address to its first beat, and
    `write_latency` then those from a burst's last beat to its answer. Of 256 cycles an AXI channel
    stands still in `stalls`, chosen by `seed`.
    """

    read_latency: int | None = None
    write_latency: int = 10
    stalls: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for latency in (self.read_latency, self.write_latency):
            if latency is not None and latency < 1:
                raise ValueError(f"latencies must be at least 1 cycle, not {latency}")
        if not 0 <= self.stalls < 256:
            raise ValueError(f"stalls must be 0..255 of 256 cycles, not {self.stalls}")


@dataclass(frozen=True)
class Outcome:
    """What a run took."""

    cycles: int
    bytes_read: int
    bytes_written: int


class _Timing(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("read_latency", "write_latency", "stalls", "seed")),
        ("dram", DramConfig),
    ]

    @classmethod
    def of(cls, timing: Timing, design: Design) -> "_Timing":
        return cls(
            timing.read_latency or 0,
            timing.write_latency,
            timing.stalls,
            timing.seed,
            dram_config(design),
        )


class _Run(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_char_p),
        ("instructions", ctypes.c_uint32),
        ("registers", ctypes.c_void_p),
        ("memory", ctypes.c_void_p),
        ("beats", ctypes.c_uint64),
        ("channels", ctypes.c_uint32),
        ("beat_bytes", ctypes.c_uint32),
        ("timing", _Timing),
        ("patience", ctypes.c_uint64),
    ]


class _Outcome(ctypes.Structure):
    _fields_ = [
        ("cycles", ctypes.c_uint64),
        ("beats_read", ctypes.c_uint64),
        ("bytes_written", ctypes.c_uint64),
        ("end", ctypes.c_uint32),
    ]


class RtlDevice:
    """The gateware of a design with a memory behind it. Everything is zero until `load`.

    Args:
        design: one of a single core.
        timing: of the memory; by default the design's DRAM.
        patience: cycles in which nothing moves, after which a run is given up.
        limit: cycles that a run may take; 0 for any number.
        progress: told of the build's steps.

    Raises:
        ToolchainError: a tool is missing or refuses the Verilog.
    """

    def __init__(
        self,
        design: Design,
        *,
        timing: Timing | None = None,
        patience: int = 50_000,
        limit: int = 0,
        progress: Progress = lambda stage, done, total: None,
    ) -> None:
        self.design = design
        self.timing = timing or Timing()
        self.patience, self.limit = patience, limit
        progress("gateware", 0, 1)
        core = emitted_core(design)
        progress("gateware", 1, 1)
        self._widths = core.widths
        texts = library_texts(self._widths) | {
            name: (_FOLDER / name).read_text() for name in _SOURCES
        }
        # `register` is a port's name, which Verilator escapes in C++.
        flags = ("-Wno-SYMRSVDWORD",)
        recipe = Recipe(texts=texts, shared=True, optimise="-O1", verilator_flags=flags)
        self._library = verilate(core.modules, "core", recipe, progress)
        self._beats = design.channel_bytes // design.memory.beat_bytes
        self._simulation: Simulation | None = None
        self._clear()

    def load(self, image: Image) -> None:
        """Put an image into memory and zero everything else, buffers included."""
        self._check_hash("image", image.design_hash)
        self._clear()
        self.write(0, image.data)

    def write(self, beat: int, data: bytes | bytearray | memoryview | np.ndarray) -> None:
        """Write bytes to memory from the start of a beat."""
        if isinstance(data, np.ndarray):
            raw = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        else:
            raw = np.frombuffer(data, np.uint8)
        start = self._start("write", beat, raw.size)
        self.memory[start : start + raw.size] = raw

    def read(self, beat: int, count: int) -> np.ndarray:
        """`count` bytes of memory from the start of a beat, a copy."""
        start = self._start("read", beat, count)
        return self.memory[start : start + count].copy()

    def run(
        self,
        program: Program,
        inputs: Mapping[str, int],
        watch: Callable[[int], None] = lambda cycles: None,
    ) -> Outcome:
        """Run a program to its END. Buffers and memory keep their contents from run to run.

        `watch` is called every so often with the cycles so far. What it raises, and Ctrl-C, end the
        run; another may follow.

        Raises:
            RtlError: the program is for another design, its inputs are others, or the run did not
                end.
        """
        self._check_hash("program", program.design_hash)
        if set(inputs) != set(program.inputs):
            expected, found = sorted(program.inputs), sorted(inputs)
            raise RtlError(f"inputs of {program.name} must be {expected}, not {found}")
        registers = np.zeros(32, np.uint32)
        for register, value in program.constants.items():
            registers[register] = value
        for name, register in program.inputs.items():
            registers[register] = inputs[name]
        simulation = self._simulation
        assert simulation is not None
        names = list(_CONTROL)
        for channel in range(self.design.channels):
            names += [f"read__{channel}__{name}" for name in _READ]
            names += [f"write__{channel}__{name}" for name in _WRITE]
        order = {name: index for index, name in enumerate(self._widths)}
        index = (ctypes.c_int32 * len(names))(*(order[name] for name in names))
        sizes = (ctypes.c_uint32 * len(names))(*(_bytes(self._widths[name]) for name in names))
        run = _Run(
            code=program.code,
            instructions=len(program),
            registers=registers.ctypes.data,
            memory=self.memory.ctypes.data,
            beats=self._beats,
            channels=self.design.channels,
            beat_bytes=self.design.memory.beat_bytes,
            timing=_Timing.of(self.timing, self.design),
            patience=self.patience,
        )
        library, outcome = simulation.library, _Outcome()
        session = library.alula_begin(simulation.model, *map(ctypes.byref, (run, index, sizes)))
        try:
            while outcome.cycles < self.limit or not self.limit:
                left = self.limit - outcome.cycles if self.limit else _SLICE
                library.alula_continue(session, min(left, _SLICE), ctypes.byref(outcome))
                if outcome.end != _GOES_ON:
                    break
                watch(outcome.cycles)
        finally:
            library.alula_finish(session)
            simulation.cycles += outcome.cycles
        if outcome.end or simulation.get("reason"):
            kind = _ENDS[outcome.end]
            raise RtlError(f"{program.name} {kind} after {outcome.cycles} cycles: {self._state()}")
        width = self.design.memory.beat_bytes
        return Outcome(outcome.cycles, outcome.beats_read * width, outcome.bytes_written)

    def close(self) -> None:
        """End the simulation."""
        if self._simulation is not None:
            self._simulation.close()
            self._simulation = None

    def _state(self) -> str:
        """Who does what: for the message of a run that did not end."""
        simulation = self._simulation
        assert simulation is not None
        get = simulation.get
        busy, starved = get("busy"), get("starved")
        parts = [f"SYS at {get('address')}" + (" waits" if get("waiting") else "")]
        for place, engine in enumerate(_QUEUED):
            if busy >> engine & 1:
                wants = " waits for a token" if starved >> engine & 1 else ""
                parts.append(f"{engine.name} at {get(f'oldest__{place}')}{wants}")
        for name in ("reason", "ld_fault", "st_fault", "mpe_fault", "sfu_fault", "overflow"):
            if name in self._widths and get(name):
                parts.append(f"{name} {get(name):#x}")
        for name in ("memory_starved", "memory_blocked"):
            if get(name):
                parts.append(name.replace("_", " "))
        return ", ".join(parts)

    def _clear(self) -> None:
        self.close()
        self._simulation = Simulation(self._library, self._widths)
        library = self._simulation.library
        library.alula_begin.argtypes = [ctypes.c_void_p] * 4
        library.alula_begin.restype = ctypes.c_void_p
        library.alula_continue.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p]
        library.alula_finish.argtypes = [ctypes.c_void_p]
        self.memory = np.zeros(self._beats * self.design.bytes_per_cycle, np.uint8)

    def _start(self, what: str, beat: int, count: int) -> int:
        width = self.design.bytes_per_cycle
        if not 0 <= beat <= self._beats - -(-count // width):
            raise RtlError(f"{what} must be within {self._beats} beats of memory, not at {beat}")
        return beat * width

    def _check_hash(self, what: str, actual: str) -> None:
        if actual != self.design.hash:
            raise RtlError(f"{what} must be for {self.design.hash}, not for {actual}")


def _bytes(width: int) -> int:
    """Bytes of a port's member in the model: 1, 2, 4, 8 or whole words of 32 bits."""
    return next((size for size in (1, 2, 4, 8) if width <= 8 * size), -(-width // 32) * 4)
