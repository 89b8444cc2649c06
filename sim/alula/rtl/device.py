"""The accelerator in Verilator with a memory: load an image, write, run a program, read."""

import ctypes
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np

from alula.design import Design
from alula.design.memory import MIB
from alula.folders import check_seekable
from alula.isa import Engine, Image, Program
from alula.model.retirement import Retirements
from alula.progress import Progress, silent
from alula.rtl import dram_ports, lockstep
from alula.rtl.dram import DramConfig, dram_config
from alula.rtl.dram_ports import HEADERS, PortsConfig, ports_config
from alula.rtl.driver import HostDriver, Outcome, RtlError
from alula.rtl.emission import emitted_top
from alula.rtl.layouts import Structures, layouts_text
from alula.rtl.lockstep import Lockstep, WaveWindow
from alula.rtl.retirement_log import RetirementLog
from alula.rtl.signals import signal
from alula.rtl.simulation import Simulation, library_texts
from alula.rtl.taps import Taps, taps, visible
from alula.rtl.verilate import BuildOptions, verilate

_FOLDER = Path(__file__).parent
_TEXTS = (
    *HEADERS,
    *("port.h", "axi_memory.h", "waves.h", "retired.h", "board.h", "board.cpp"),
    *("lockstep.h", "lockstep.cpp"),
)
_READ = ("araddr", "arlen", "arvalid", "arready", "rdata", "rresp", "rlast", "rvalid", "rready")
_WRITE = (
    *("awaddr", "awlen", "awvalid", "awready", "wdata", "wstrb", "wlast", "wvalid", "wready"),
    *("bresp", "bvalid", "bready"),
)
_LITE_CYCLES = 1000


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
class Waves:
    """Where to write waves, as FST, and of which cycles: from `start` to before `stop`.

    Cycles count from the device's beginning or its last `load` on, those included in which the host
    writes program and registers: a device does the same in the same cycle each time.
    """

    path: Path
    start: int = 0
    stop: int = (1 << 64) - 1

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop < 1 << 64:
            raise ValueError(f"a window must be of cycles, not {self.start} to {self.stop}")


class Defect(IntEnum):
    """What a broken memory does: AXI's responses, or none."""

    NONE = 0
    SLVERR = 2
    DECERR = 3
    SILENT = 4


class _Timing(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("read_latency", "write_latency", "stalls", "seed")),
        ("dram", DramConfig),
        ("ports", PortsConfig),
    ]

    @classmethod
    def of(cls, timing: Timing, design: Design) -> "_Timing":
        return cls(
            timing.read_latency or 0,
            timing.write_latency,
            timing.stalls,
            timing.seed,
            dram_config(design),
            ports_config(design, design.memory.axi),
        )


class _Window(ctypes.Structure):
    _fields_ = [("first", ctypes.c_uint64), ("bytes", ctypes.c_uint64)]


class _Parts(ctypes.Structure):
    _fields_ = [
        ("memory", ctypes.c_void_p),
        ("bytes", ctypes.c_uint64),
        ("channels", ctypes.c_uint32),
        ("beat_bytes", ctypes.c_uint32),
        ("windows", ctypes.c_void_p),
        ("window_count", ctypes.c_uint32),
        ("timing", _Timing),
        ("running", ctypes.c_void_p),
        ("done", ctypes.c_void_p),
        ("engines", ctypes.c_uint32),
    ]


_STRUCTURES: Structures = {
    **dram_ports.STRUCTURES,
    "Timing": _Timing,
    "MemoryWindow": _Window,
    "Parts": _Parts,
}


class _Board:
    """A simulation with a memory behind its AXI ports and a bus to its control port."""

    def __init__(
        self,
        simulation: Simulation,
        widths: Mapping[str, int],
        design: Design,
        memory: np.ndarray,
        timing: Timing,
        waves: Waves | None,
        taps: Taps,
    ) -> None:
        self._lockstep: Lockstep | None = None
        self._library = library = simulation.library
        pointer, number, long = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
        library.alula_board.restype = pointer
        library.alula_board.argtypes = [pointer] * 4
        library.alula_board_close.argtypes = library.alula_forget.argtypes = [pointer]
        library.alula_write.argtypes = [pointer, number, number, long]
        library.alula_read.argtypes = [pointer, number, ctypes.POINTER(number), long]
        library.alula_wait.argtypes = [pointer, long]
        library.alula_defect.argtypes = [pointer, long, long, number]
        library.alula_board_retired.argtypes = [pointer, pointer]
        library.alula_board_retirements.restype = long
        library.alula_board_retirements.argtypes = [pointer, number, pointer, long]
        names = list(_port_names(design))
        order = {name: index for index, name in enumerate(widths)}
        index = (ctypes.c_int32 * len(names))(*(order[name] for name in names))
        sizes = (ctypes.c_uint32 * len(names))(*(_bytes(widths[name]) for name in names))
        done = [signal(simulation, taps.retires[engine]).place for engine in Engine]
        places = (pointer * len(done))(*done)
        windows = [_Window(one.address, one.mib * MIB) for one in design.memory.windows]
        window_array = (_Window * len(windows))(*windows)
        parts = _Parts(
            memory=memory.ctypes.data,
            bytes=memory.size // design.channels,
            channels=design.channels,
            beat_bytes=design.memory.beat_bytes,
            windows=ctypes.addressof(window_array),
            window_count=len(windows),
            timing=_Timing.of(timing, design),
            running=signal(simulation, taps.running).place,
            done=ctypes.addressof(places),
            engines=len(done),
        )
        self._board = library.alula_board(
            simulation.model, ctypes.byref(parts), ctypes.byref(index), ctypes.byref(sizes)
        )
        if waves is not None:
            library.alula_waves.argtypes = [pointer, pointer, ctypes.c_char_p, long, long]
            path = bytes(waves.path)
            library.alula_waves(self._board, simulation.model, path, waves.start, waves.stop)

    def write(self, address: int, value: int) -> None:
        response = self._library.alula_write(self._board, address, value, _LITE_CYCLES)
        self._check("write", address, response)

    def read(self, address: int) -> int:
        value = ctypes.c_uint32()
        response = self._library.alula_read(self._board, address, ctypes.byref(value), _LITE_CYCLES)
        self._check("read", address, response)
        return value.value

    def wait(self, cycles: int) -> bool:
        ended = self._library.alula_wait(self._board, cycles)
        if self._lockstep is not None:
            self._lockstep.check()
        return bool(ended)

    def retired(self) -> Mapping[Engine, int]:
        """Instructions that each engine has retired, in this run or the last."""
        counts = (ctypes.c_uint64 * len(Engine))()
        self._library.alula_board_retired(self._board, counts)
        return dict(zip(Engine, counts, strict=True))

    def retirements(self, engine: Engine) -> np.ndarray:
        """Cycles up to each retirement of an engine in this run or the last, uint64."""
        ask = self._library.alula_board_retirements
        found = np.empty(ask(self._board, engine, None, 0), np.uint64)
        ask(self._board, engine, found.ctypes.data, found.size)
        return found

    @contextmanager
    def in_step(self, lockstep: Lockstep) -> Iterator[None]:
        """Look at `lockstep` while the block runs."""
        self._lockstep = lockstep
        try:
            yield
        finally:
            self._lockstep = None
            lockstep.close()

    def forget(self) -> None:
        self._library.alula_forget(self._board)

    def defect(self, beats: range, kind: Defect) -> None:
        self._library.alula_defect(self._board, beats.start, beats.stop, kind)

    def close(self) -> None:
        self._library.alula_board_close(self._board)

    def _check(self, what: str, address: int, response: int) -> None:
        if response:
            found = "no answer" if response < 0 else f"response {response}"
            raise RtlError(f"a {what} of register {address:#x} must be answered OKAY, not {found}")


class RtlDevice:
    """The gateware of a design with a memory behind it. Everything is zero until `load`.

    Args:
        design: what is built.
        timing: of the memory; by default the design's DRAM.
        patience: cycles in which no engine works, after which a run is given up.
        limit: cycles that a run may take; 0 for any number.
        waves: of some cycles; they take a build of their own, which runs slower.
        traced: make that build in any case, for waves of a `WaveWindow`.
        progress: called for each step of the build.

    Raises:
        RtlError: the gateware cannot be of this design.
        ToolchainError: a tool is missing or refuses the Verilog.
        OSError: the waves' file cannot be written.
    """

    def __init__(
        self,
        design: Design,
        *,
        timing: Timing | None = None,
        patience: int = 50_000,
        limit: int = 0,
        waves: Waves | None = None,
        traced: bool = False,
        progress: Progress = silent,
    ) -> None:
        self.design = design
        self.waves = waves
        if waves is not None:
            check_seekable(waves.path)
        self.timing = timing or Timing()
        self.patience, self.limit = patience, limit
        progress("gateware", 0, 1)
        try:
            top = emitted_top(design)
        except ValueError as error:
            raise RtlError(f"{error} ({design.name})") from None
        progress("gateware", 1, 1)
        self._widths = top.widths
        texts = library_texts(self._widths)
        texts |= {name: (_FOLDER / name).read_text(encoding="utf-8") for name in _TEXTS}
        texts["board_layouts.h"] = layouts_text(_STRUCTURES)
        texts["lockstep_layouts.h"] = layouts_text(lockstep.STRUCTURES)
        self._taps = taps(design)
        options = BuildOptions(
            texts=texts,
            shared=True,
            trace=traced or waves is not None,
            optimise="-O2",
            visible=visible(top.modules, self._taps),
        )
        self._library = verilate(top.modules, "top", options, progress)
        if waves is not None:
            waves.path.write_bytes(b"")
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
        """`count` beats of memory, a copy: uint8 [count, bytes of a beat]."""
        size = count * self.design.bytes_per_cycle
        start = self._start("read", beat, size)
        return self.memory[start : start + size].reshape(count, -1).copy()

    def run(
        self,
        program: Program,
        inputs: Mapping[str, int],
        watch: Callable[[int], None] = lambda cycles: None,
        log: RetirementLog | None = None,
        retirements: Mapping[Engine, Retirements] | None = None,
        window: WaveWindow | None = None,
    ) -> Outcome:
        """Run a program to its END. Buffers and memory keep their contents from run to run.

        `watch` is called every so often with the cycles so far. What it raises, and Ctrl-C, end the
        run; another may follow. `log`: of the same run on the machine model; what is said of one
        that did not end then names layers. `retirements`: what each engine must retire, and
        `window` then what to write waves of, if the device can.

        Raises:
            Diverged: the run was stopped at a retirement that is not the expected one.
            RtlError: the program is for another design, its inputs are others, or the run did not
                end. The next run begins with a reset then.
        """
        self._check_hash("program", program.design_hash)
        self.driver.patience, self.driver.limit = self.patience, self.limit

        def unit(engine: Engine, address: int, numbers: range) -> str:
            if log is None:
                return ""
            oldest = self._board.retired()[engine]
            numbers = range(oldest + numbers.start, oldest + numbers.stop)
            return log.unit(engine, address, numbers)

        if retirements is None:
            return self.driver.run(program, inputs, watch, unit)
        assert self._simulation is not None
        lockstep = Lockstep(self._simulation, self._taps, self.design, program, retirements, window)
        with self._board.in_step(lockstep):
            outcome = self.driver.run(program, inputs, watch, unit)
            lockstep.check(ended=outcome.cycles)
        return outcome

    def retirements(self, engine: Engine) -> np.ndarray:
        """Return the cycles from the last run's start to each of an engine's retirements, uint64.

        After the first million nothing is noted.
        """
        return self._board.retirements(engine)

    def break_memory(self, beats: range, kind: Defect) -> None:
        """Let memory refuse these beats, or never answer; `Defect.NONE` fixes it."""
        self._board.defect(beats, kind)

    def close(self) -> None:
        """End the simulation."""
        if self._simulation is not None:
            self._board.close()
            self._simulation.close()
            self._simulation = None

    def _clear(self) -> None:
        self.close()
        self._simulation = Simulation(self._library, self._widths)
        self.memory = np.zeros(self._beats * self.design.bytes_per_cycle, np.uint8)
        parts = self._simulation, self._widths, self.design, self.memory, self.timing, self.waves
        self._board = _Board(*parts, self._taps)
        self.driver = HostDriver(self._board, self.design, patience=self.patience, limit=self.limit)

    def _start(self, what: str, beat: int, count: int) -> int:
        width = self.design.bytes_per_cycle
        if not 0 <= beat <= self._beats - -(-count // width):
            raise RtlError(f"{what} must be within {self._beats} beats of memory, not at {beat}")
        return beat * width

    def _check_hash(self, what: str, actual: str) -> None:
        if actual != self.design.hash:
            raise RtlError(f"{what} must be for {self.design.hash}, not for {actual}")


def _port_names(design: Design) -> Iterator[str]:
    """Name what a board's ports are made of, channel by channel; the first port writes, too."""
    for channel in range(design.channels):
        for port in range(design.memory.ports):
            yield from (f"read__{channel * design.memory.ports + port}__{name}" for name in _READ)
            if port == 0:
                yield from (f"write__{channel}__{name}" for name in _WRITE)


def _bytes(width: int) -> int:
    """Bytes of a port's member in the model: 1, 2, 4, 8 or whole words of 32 bits."""
    return next((size for size in (1, 2, 4, 8) if width <= 8 * size), -(-width // 32) * 4)
