"""Where the gateware's writes and retirements are seen, for lock step.

Taps are members of components as docs/explanation/gateware.md declares them. The signals themselves
are read, in the gateware as it is; all that a build must do is to keep them visible.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from amaranth.hdl import Shape, unsigned
from amaranth.lib import data

from alula.design import Design
from alula.gateware.buffers import ports as sfu_ports
from alula.gateware.buffers.vector_buffer import write_layout
from alula.gateware.control.command import ENGINES
from alula.gateware.stream.weight_stream import beat_layout
from alula.gateware.top.top import core_names
from alula.isa.instructions import Engine
from alula.model.writes import Space

_DISPATCH = "dispatch"
_SEQUENCER = f"{_DISPATCH}.sequencer"
_CLASSES = {"load": "Load", "store": "Store", "mpe": "Mpe", "sfu": "Sfu"}
"""The class in whose module each part of a core is emitted."""
PORT = ("awvalid", "awready", "awaddr", "awlen", "wvalid", "wready", "wdata", "wstrb")
"""Signals of a `PortTap`."""


class TapKind(IntEnum):
    """How a tap is read.

    STREAM: each transfer is a line whose payload says where. ORDERED: each transfer is the next
    line of a sequence. SAMPLED: a line at 0, read as an instruction retires that writes its space.
    """

    STREAM = 0
    ORDERED = 1
    SAMPLED = 2


@dataclass(frozen=True)
class Member:
    """A signal: its place below the top, its name there."""

    scope: str
    name: str


@dataclass(frozen=True)
class Tap:
    """Lines that an engine writes in a core.

    `layout` is the payload's. `line` (all of it if empty), `mask` (a bit for each part of the line;
    everything counts if empty) and what `address` sums up, moved up by some bits, are its fields.
    `only`: a field and the value that it must have. Line `n` of an ORDERED tap is line
    `n * slices + slice` of its space.
    """

    kind: TapKind
    space: Space
    engine: Engine
    core: int
    scope: str
    port: str
    layout: data.Layout | Shape
    line: str = ""
    address: Mapping[str, int] = field(default_factory=dict)
    mask: str = ""
    only: tuple[str, int] | None = None
    slice: int = 0
    slices: int = 1

    def place(self, name: str) -> tuple[int, int]:
        """The first bit of a field of the payload and its width."""
        if isinstance(self.layout, Shape):
            return 0, self.layout.width
        found = self.layout[name]
        assert found is not None
        return found.offset, Shape.cast(found.shape).width

    @property
    def payload(self) -> Member:
        """The signal that carries the lines."""
        name = self.port if self.kind is TapKind.SAMPLED else f"{self.port}__payload"
        return Member(self.scope, name)

    @property
    def handshake(self) -> tuple[Member, ...]:
        """`valid` and `ready`, where it is a stream."""
        if self.kind is TapKind.SAMPLED:
            return ()
        return tuple(Member(self.scope, f"{self.port}__{name}") for name in ("valid", "ready"))


@dataclass(frozen=True)
class PortTap:
    """The write side of a core's AXI port: lines of `space`, one of so many channels."""

    core: int
    number: int
    signals: Mapping[str, Member]
    space: Space = Space.MEMORY


@dataclass(frozen=True)
class EngineTap:
    """Where an engine's instructions retire in a core; SYS is one for all cores.

    `address`: of the instruction that it is given with `given`, valid and ready; cores may be
    several instructions apart. Without `given`, of the one that retires.
    `late`: `done` comes a cycle after the last write, perhaps with the next instruction's first.
    `account`: The engine to whose account it writes; MM and MV share one.
    """

    engine: Engine
    core: int
    done: Member
    address: Member
    account: Engine
    given: tuple[Member, ...] = ()
    late: bool = False


@dataclass(frozen=True)
class Taps:
    """All taps of an accelerator.

    `running`: from the start of a program to its end. `retires`: an engine's instruction has, in
    all cores.
    """

    running: Member
    retires: Mapping[Engine, Member]
    streams: Sequence[Tap]
    ports: Sequence[PortTap]
    engines: Sequence[EngineTap]

    @property
    def members(self) -> Iterator[Member]:
        """Every signal that they read."""
        yield self.running
        yield from self.retires.values()
        for tap in self.streams:
            yield from (*tap.handshake, tap.payload)
        for port in self.ports:
            yield from port.signals.values()
        for engine in self.engines:
            yield from (*engine.given, engine.done, engine.address)


def taps(design: Design) -> Taps:
    """The taps of a design."""
    running = Member(_DISPATCH, "running")
    address = Member(_DISPATCH, f"oldest__{Engine.SYS:d}")
    register = Tap(
        TapKind.SAMPLED, Space.REGISTER, Engine.SYS, 0, _SEQUENCER, "rd_value", unsigned(32)
    )
    streams, ports = [register], []
    engines = [EngineTap(Engine.SYS, 0, Member(_SEQUENCER, "retired"), address, Engine.SYS)]
    for core, scope in enumerate(core_names(design)):
        streams += _streams(design, core, scope)
        ports += _ports(design, core, scope)
        engines += _engines(core, scope)
    return Taps(running, _retires(), streams, ports, engines)


def _retires() -> dict[Engine, Member]:
    """Where all cores have done what an engine was given, as the queues see it."""
    found = {engine: Member(_DISPATCH, f"done_{engine.name.lower()}") for engine in ENGINES}
    return found | {Engine.SYS: Member(_SEQUENCER, "retired")}


def visible(modules: Mapping[str, str], wanted: Taps) -> dict[str, list[str]]:
    """Names of the signals to keep visible, by module of the Verilog."""
    found: dict[str, list[str]] = {}
    for member in wanted.members:
        whole, _, part = member.scope.partition(".")
        start = "Dispatch_" if whole == _DISPATCH else f"{_CLASSES[part]}_"
        module = next(name for name in modules if name.startswith(start))
        if whole == _DISPATCH and part:  # within the text around it
            module += f".{part}"
        found.setdefault(module, []).append(member.name)
    return {module: list(dict.fromkeys(names)) for module, names in found.items()}


def _streams(design: Design, core: int, scope: str) -> Iterator[Tap]:
    """What engines of a core write to its buffers."""
    words, lanes = design.vector_words, design.sfu.lanes
    vector = write_layout(words, lanes)
    word = {"line": "data", "address": {"address": 0}, "mask": "mask"}
    load = (core, f"{scope}.load")
    misc = (Engine.MISC, core, f"{scope}.sfu")
    results = sfu_ports.vector_write(lanes).members["payload"].shape
    yield Tap(TapKind.STREAM, Space.VECTOR, Engine.LD, *load, "write", vector, **word)
    yield Tap(
        TapKind.STREAM, Space.VECTOR, Engine.MM, core, f"{scope}.mpe", "write", vector, **word
    )
    yield Tap(TapKind.STREAM, Space.VECTOR, *misc, "write", results, **word)
    beat = beat_layout(design.chains_per_core)
    yield Tap(
        TapKind.ORDERED, Space.STREAM, Engine.LD, *load, "beat", beat, "data",
        slice=core, slices=design.cores,
    )  # fmt: skip

    slot = (design.mpe.tokens - 1).bit_length()
    half = {"group": slot + 1, "slot": 1, "half": 0}
    side = {"group": slot, "slot": 0}
    layout = sfu_ports.activation_write().members["payload"].shape
    for space, path, address, only in (
        (Space.ACTIVATIONS, "data", half, None),
        (Space.SIDES, "side", side, ("half", 1)),
    ):
        yield Tap(
            TapKind.STREAM, space, *misc, "activation", layout, path, address, only=only
        )  # fmt: skip
    layout = sfu_ports.staging_write().members["payload"].shape
    part = {"row": 5, "half": 0}
    for space, path, address, only in (
        (Space.STAGING, "data", part, None),
        (Space.SCALES, "scale", {"row": 0}, ("half", 0)),
    ):
        yield Tap(
            TapKind.STREAM, space, *misc, "staging", layout, path, address, only=only
        )  # fmt: skip
    yield Tap(TapKind.SAMPLED, Space.BEST, *misc, "argmax", unsigned(20))


def _ports(design: Design, core: int, scope: str) -> Iterator[PortTap]:
    """The ports to a core's channels."""
    for channel in range(design.channels_per_core):
        signals = {name: Member(f"{scope}.store", f"axi__{channel}__{name}") for name in PORT}
        yield PortTap(core, core * design.channels_per_core + channel, signals)


def _engines(core: int, scope: str) -> Iterator[EngineTap]:
    """The engines of a core."""
    for engine, part, prefix in (
        (Engine.LD, "load", ""),
        (Engine.ST, "store", ""),
        (Engine.MM, "mpe", "mm_"),
        (Engine.MV, "mpe", "mv_"),
        (Engine.MISC, "sfu", ""),
    ):
        place = f"{scope}.{part}"
        yield EngineTap(
            engine,
            core,
            done=Member(place, f"{prefix}done"),
            address=Member(f"{_DISPATCH}.queue_{engine.name.lower()}", "next"),
            account=Engine.MM if engine is Engine.MV else engine,
            given=tuple(Member(place, f"{prefix}command__{name}") for name in ("valid", "ready")),
            late=part in ("load", "mpe"),
        )
