"""The unit under test, as a case sees it inside the simulator."""

from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any

from amaranth.lib import wiring
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from alula.bench.patterns import ALWAYS, Pattern
from alula.bench.ports import Port, find_ports
from alula.bench.roles import Driver, Monitor, Responder, Role
from alula.bench.scoreboard import Mismatch, Scoreboard, matches, shown
from alula.bench.wires import StreamWires, Wire

PATIENCE = 4000
"""Cycles without any transfer after which a unit counts as hung."""

PERIOD = 2
"""Steps of the simulator that a cycle takes."""

_RESET_CYCLES = 3


class Hung(Mismatch):
    """Nothing moves any more."""


class Unit:
    """A component in the simulator: its ports by name, its clock, and the roles around it.

    `dut` is cocotb's handle, for what is not a stream (cocotbext-axi's buses, for example).
    `random` is seeded for the case. `inputs` and `outputs` name the streams and `wires` all other
    ports, nested names joined with two underscores. `taken` are the streams that have a role.
    """

    def __init__(self, dut: Any, component: wiring.Component, random: Random) -> None:
        self.dut = dut
        self.component = component
        self.random = random
        self.clock = dut.clk
        self.count = 0
        self.inputs: dict[str, StreamWires] = {}
        self.outputs: dict[str, StreamWires] = {}
        self._stream_inputs: list[Wire] = []
        self._roles: list[Role] = []
        self._gone: set[Pattern] = set()
        self.taken: set[str] = set()
        streams, others = find_ports(component)
        for port in streams:
            parts = [self._wire(part) for part in (port.payload, port.valid, port.ready)]
            payload, valid, ready = parts
            assert payload is not None
            self._stream_inputs += [part for part in parts if part is not None and part.inward]
            side = self.inputs if port.inward else self.outputs
            side[port.name] = StreamWires(port.name, payload, valid, ready)
        self.wires = {port.name: Wire(port, self._handle(port)) for port in others}

    async def start(self) -> None:
        """Start the clock and reset the unit. Memories keep what they hold, as in hardware."""
        for wire in (*self._stream_inputs, *self.wires.values()):
            if wire.inward:
                wire.set_bits(0)
        self.dut.rst.value = 1
        Clock(self.clock, PERIOD, unit="step").start(start_high=False)
        for _ in range(_RESET_CYCLES):
            await RisingEdge(self.clock)
        self.dut.rst.value = 0

    async def reset(self) -> None:
        """Reset the unit again, streams at rest. All roles are over; other inputs stay."""
        self._roles.clear()
        self.taken.clear()
        for wire in self._stream_inputs:
            wire.set_bits(0)
        self.dut.rst.value = 1
        for _ in range(_RESET_CYCLES):
            await RisingEdge(self.clock)
        self.dut.rst.value = 0

    @property
    def given(self) -> list[str]:
        """What the unit got so far, a line for each role that gives something."""
        lines = (getattr(role, "given", "") for role in self._roles)
        return [line for line in lines if line]

    def goes(self, pattern: Pattern) -> Iterator[bool]:
        """Start a pattern, from the case's seed. That its first word is read counts as its use."""
        for goes in pattern.start(self.random):
            self._gone.add(pattern)
            yield goes

    def must_have_gone(self, *patterns: Pattern) -> None:
        """Make sure that these patterns had a part in the case.

        Raises:
            Mismatch: nothing went by one of them.
        """
        for pattern in patterns:
            if pattern not in self._gone:
                raise Mismatch(f"the case must use its pattern {pattern}, which nothing goes by")

    def join(self, role: Role) -> None:
        """Let a role take part in every cycle from now on."""
        self._roles.append(role)

    def drive(self, name: str, items: Iterable[Any] = (), pattern: Pattern = ALWAYS) -> Driver:
        """Offer items to an input stream."""
        driver = Driver(self._take(self.inputs, name), items, self.goes(pattern), self.random)
        self.join(driver)
        return driver

    def watch(
        self,
        name: str,
        take: Callable[[Any], None],
        pattern: Pattern = ALWAYS,
        *,
        steady: bool = False,
    ) -> Monitor:
        """Accept items from an output stream and hand each to a function.

        Args:
            name: of the stream.
            take: gets each item.
            pattern: when the stream is ready.
            steady: the stream stays ready until something is taken, as that of a queue does.
        """
        wires = self._take(self.outputs, name)
        monitor = Monitor(wires, take, self.goes(pattern), steady=steady)
        self.join(monitor)
        return monitor

    def expect(self, name: str, expected: Iterable[Any], pattern: Pattern = ALWAYS) -> Scoreboard:
        """Accept items from an output stream and compare them."""
        scoreboard = Scoreboard(name, list(expected))
        self.watch(name, scoreboard.take, pattern)
        return scoreboard

    def respond(
        self,
        request: str,
        reply: str,
        function: Callable[[Any], Iterable[Any]],
        accept: Pattern = ALWAYS,
        offer: Pattern = ALWAYS,
    ) -> Responder:
        """Answer each item of an output stream with items on an input stream."""
        wires = self._take(self.outputs, request), self._take(self.inputs, reply)
        responder = Responder(*wires, function, self.goes(accept), self.goes(offer), self.random)
        self.join(responder)
        return responder

    async def cycles(self, count: int = 1) -> bool:
        """Let cycles pass; return whether anything moved in them."""
        moved = False
        edge = RisingEdge(self.clock)
        for _ in range(count):
            await edge
            self.count += 1
            for role in self._roles:
                role.cycle()
                moved |= role.moved
        return moved

    async def until(
        self, condition: Callable[[], bool], what: str, patience: int = PATIENCE
    ) -> None:
        """Let cycles pass until a condition holds.

        Raises:
            Hung: nothing has moved for `patience` cycles. It names what was waited for.
        """
        quiet = 0
        while not condition():
            quiet = 0 if await self.cycles() else quiet + 1
            if quiet > patience:
                raise Hung(
                    f"{what} must come within {patience} cycles: nothing has moved since cycle"
                    f" {self.count - quiet}"
                )

    async def finish(self, *scoreboards: Scoreboard, quiet: int = 100) -> None:
        """Wait for all that is expected, then make sure that nothing else comes."""
        waiting = list(scoreboards)

        def done() -> bool:
            while waiting and waiting[-1].complete:
                waiting.pop()
            return not waiting

        try:
            await self.until(done, "the next item")
        except Hung as hung:
            counts = (f"{item.name} {item.count} of {len(item.expected)}" for item in scoreboards)
            raise Hung(f"{hung} ({', '.join(counts)})") from None
        await self.cycles(quiet)

    def must(self, **values: Any) -> None:
        """Compare ports that are no streams, as the last edge saw them.

        Raises:
            Mismatch: one is another. It names port, what must be and what is.
        """
        for name, value in values.items():
            found = self.wires[name].get()
            if not matches(value, found):
                raise Mismatch(f"{name} must be {shown(value)}, not {shown(found)}")

    def set(self, **values: Any) -> None:
        """Set inputs that are no streams for the next edge."""
        for name, value in values.items():
            self.wires[name].set(value)

    def _wire(self, port: Port | None) -> Wire | None:
        return Wire(port, self._handle(port)) if port is not None else None

    def _handle(self, port: Port) -> Any:
        return getattr(self.dut, port.name) if port.width else None

    def _take(self, streams: dict[str, StreamWires], name: str) -> StreamWires:
        free = sorted(set(streams) - self.taken)
        if name not in free:
            raise ValueError(f"a stream without a role must be one of {free}, not {name!r}")
        self.taken.add(name)
        return streams[name]
