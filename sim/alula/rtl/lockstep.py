"""Lock step: each retirement of the gateware against the machine model's, in C++ as it happens."""

import ctypes
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np

from alula.design import Design
from alula.isa import Engine, Program
from alula.model.retirement import Retirements
from alula.model.writes import NUMBER, Writes, spaces
from alula.rtl.layouts import Structures
from alula.rtl.signals import Signal, signal
from alula.rtl.simulation import Simulation
from alula.rtl.taps import PORT, EngineTap, Member, PortTap, Tap, TapKind, Taps

_U32, _U64 = ctypes.c_uint32, ctypes.c_uint64
_FIELDS = 3


class _Field(ctypes.Structure):
    _fields_ = [("bit", _U32), ("bits", _U32), ("shift", _U32)]


class _Tap(ctypes.Structure):
    _fields_ = [
        *((name, Signal) for name in ("valid", "ready", "payload")),
        *((name, _U32) for name in ("kind", "space", "account")),
        ("address", _Field * _FIELDS),
        ("condition", _Field),
        ("wanted", _U32),
        *((name, _U32) for name in ("data_bit", "data_bytes", "mask_bit", "mask_bits")),
        *((name, _U32) for name in ("slice", "slices")),
    ]


class _Port(ctypes.Structure):
    _fields_ = [
        *((name, Signal) for name in PORT),
        *((name, _U32) for name in ("account", "space", "bytes", "number", "channels")),
    ]


class _Engine(ctypes.Structure):
    _fields_ = [
        *((name, Signal) for name in ("valid", "ready", "done", "address")),
        ("account", _U32),
        ("late", _U32),
        ("addresses", ctypes.c_void_p),
        ("checksums", ctypes.c_void_p),
        ("count", _U64),
    ]


class _Window(ctypes.Structure):
    _fields_ = [("file", ctypes.c_char_p), ("engine", _U32), ("retired", _U64), ("delay", _U64)]


class _Plan(ctypes.Structure):
    _fields_ = [
        ("running", Signal),
        ("taps", ctypes.c_void_p),
        ("tap_count", _U32),
        ("writes", ctypes.c_void_p),
        ("write_count", _U32),
        ("engines", ctypes.c_void_p),
        ("engine_count", _U32),
        ("spaces", ctypes.c_void_p),
        ("instructions", _U32),
        ("window", _Window),
    ]


class _Found(ctypes.Structure):
    _fields_ = [
        ("engine", _U32),
        ("address", _U32),
        ("index", _U64),
        ("cycle", _U64),
        ("before", _U64),
        ("words", _U64),
        ("diverged", _U32),
    ]


STRUCTURES: Structures = {
    "Signal": Signal,
    "Field": _Field,
    "Tap": _Tap,
    "WriteTap": _Port,
    "EngineTap": _Engine,
    "Window": _Window,
    "Plan": _Plan,
    "Found": _Found,
}


@dataclass(frozen=True)
class Divergence:
    """The first retirement that is not the machine model's.

    Attributes:
        engine, core: whose it is; SYS is one for all cores, and counts as core 0's.
        index: its number among the engine's, from 0.
        address: of the instruction that the gateware retired; None where it never did.
        cycle: of the run.
        before: cycle in which the engine's last retirement but one was, 0 if there was none.
        writes: what that instruction wrote in the gateware.
    """

    engine: Engine
    core: int
    index: int
    address: int | None
    cycle: int
    before: int
    writes: Writes


@dataclass(frozen=True)
class WaveWindow:
    """Waves of a run, as FST into `file`, from when an engine has retired so many instructions.

    `delay`: cycles by which they begin later than that. Cycles count from the start of the run.
    """

    file: Path
    engine: Engine
    core: int
    retired: int
    delay: int


class Diverged(Exception):
    """A run has stopped at its first divergence."""

    def __init__(self, divergence: Divergence) -> None:
        super().__init__(
            f"{divergence.engine.name} of core {divergence.core} must retire what the machine "
            f"model retires, not something else, at its retirement {divergence.index} in cycle "
            f"{divergence.cycle}"
        )
        self.divergence = divergence


class Lockstep:
    """Watches a simulation's runs of one program, from now until `close`.

    Args:
        simulation: whose taps are visible.
        taps: of its design.
        program: that will run.
        expected: what each engine must retire.
        window: what to write waves of.
    """

    def __init__(
        self,
        simulation: Simulation,
        taps: Taps,
        design: Design,
        program: Program,
        expected: Mapping[Engine, Retirements],
        window: WaveWindow | None = None,
    ) -> None:
        self._simulation, self._expected = simulation, expected
        library = simulation.library
        library.alula_lockstep.argtypes = [ctypes.c_void_p] * 2
        library.alula_retired.argtypes = [ctypes.c_void_p] * 3
        library.alula_words.argtypes = [ctypes.c_void_p] * 4
        self._engines = [(tap.engine, tap.core) for tap in taps.engines]
        streams = _array(_Tap, [self._tap(tap) for tap in taps.streams])
        ports = _array(_Port, [self._port(tap, design) for tap in taps.ports])
        engines = _array(_Engine, [self._engine(tap) for tap in taps.engines])
        may_write = np.array([_mask(spaces(op)) for op in program.ops], np.uint16)
        plan = _Plan(
            self._signal(taps.running),
            *(ctypes.addressof(streams), len(streams)),
            *(ctypes.addressof(ports), len(ports)),
            *(ctypes.addressof(engines), len(engines)),
            *(may_write.ctypes.data, may_write.size),
            self._window(window),
        )
        library.alula_lockstep(simulation.model, ctypes.byref(plan))

    def check(self, ended: int | None = None) -> None:
        """Look at the run so far, or at one that has `ended` after so many cycles.

        Raises:
            Diverged: it did something else than expected, or too little.
        """
        counts, found = (_U64 * len(self._engines))(), _Found()
        library, model = self._simulation.library, self._simulation.model
        library.alula_retired(model, counts, ctypes.byref(found))
        if found.diverged:
            writes = Writes(*(np.empty(found.words, np.uint64) for _ in range(3)))
            library.alula_words(model, *(column.ctypes.data for column in writes))
            engine, core = self._engines[found.engine]
            place = (engine, core, found.index, found.address)
            raise Diverged(Divergence(*place, found.cycle, found.before, writes))
        if ended is None:
            return
        for (engine, core), count in zip(self._engines, counts, strict=True):
            if count < len(self._expected[engine]):
                nothing = Writes(*(np.empty(0, np.uint64) for _ in range(3)))
                raise Diverged(Divergence(engine, core, count, None, ended, ended, nothing))

    def close(self) -> None:
        """Watch no longer."""
        self._simulation.library.alula_lockstep(self._simulation.model, None)

    def _window(self, window: WaveWindow | None) -> _Window:
        if window is None:
            return _Window()
        place = self._engines.index((window.engine, window.core))
        return _Window(os.fsencode(window.file), place, window.retired, window.delay)

    def _signal(self, member: Member) -> Signal:
        return signal(self._simulation, member)

    def _tap(self, tap: Tap) -> _Tap:
        found = _Tap(kind=tap.kind, space=tap.space, slice=tap.slice, slices=tap.slices)
        found.account = _account(tap.engine, tap.core)
        for name, member in zip(("valid", "ready"), tap.handshake, strict=False):
            setattr(found, name, self._signal(member))
        found.payload = self._signal(tap.payload)
        for index, (path, shift) in enumerate(tap.address.items()):
            found.address[index] = _Field(*tap.place(path), shift)
        if tap.only is not None:
            path, found.wanted = tap.only
            found.condition = _Field(*tap.place(path), 0)
        found.data_bit, bits = tap.place(tap.line)
        found.data_bytes = -(-bits // 8) if tap.kind is not TapKind.SAMPLED else NUMBER
        if tap.mask:
            found.mask_bit, found.mask_bits = tap.place(tap.mask)
        return found

    def _port(self, tap: PortTap, design: Design) -> _Port:
        found = _Port(
            account=_account(Engine.ST, tap.core),
            space=tap.space,
            bytes=design.memory.beat_bytes,
            number=tap.number,
            channels=design.channels,
        )
        for name in PORT:
            setattr(found, name, self._signal(tap.signals[name]))
        return found

    def _engine(self, tap: EngineTap) -> _Engine:
        expected = self._expected[tap.engine]
        found = _Engine(
            done=self._signal(tap.done),
            address=self._signal(tap.address),
            account=_account(tap.account, tap.core),
            late=tap.late,
            addresses=expected.addresses.buffer_info()[0],
            checksums=expected.checksums[tap.core].buffer_info()[0],
            count=len(expected),
        )
        for name, member in zip(("valid", "ready"), tap.given, strict=False):
            setattr(found, name, self._signal(member))
        return found


def _account(engine: Engine, core: int) -> int:
    return core * len(Engine) + engine


def _array(kind: type[ctypes.Structure], items: Sequence[ctypes.Structure]) -> ctypes.Array:
    return (kind * len(items))(*items)


def _mask(numbers: frozenset[int]) -> int:
    return reduce(lambda mask, number: mask | 1 << number, numbers, 0)
