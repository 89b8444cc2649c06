"""Cases: what is done with a unit in the simulator, one pytest test each.

A unit's test is a table and a function: `stream_cases` and `pipeline_cases` make the cases from
them, each table crossed with every pattern. A case of another kind is an async function of the
`Unit`.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from alula.bench.patterns import ALWAYS, PATTERNS, Pattern
from alula.bench.roles import PipelineDriver
from alula.bench.scoreboard import Mismatch, Scoreboard
from alula.bench.unit import Unit

Items = Sequence[Any] | Mapping[str, Sequence[Any]]
Table = Items | Callable[[Random], Items]
"""Items for the only input, or by input stream; or a function that makes them from a seed."""

LIMIT = 100_000
"""Cycles after which a case that has not ended fails, whatever it waits for."""
_START_UP = 64


@dataclass(frozen=True)
class Case:
    """What to do in the simulator, and for how many cycles at most.

    It fails if nothing goes by `idle` or `pressure`: the patterns, if it has any, by which it
    offers and accepts. They are part of its name, which must be unique in its bench.
    """

    title: str
    run: Callable[[Unit], Awaitable[None]]
    limit: int = LIMIT
    idle: Pattern | None = None
    pressure: Pattern | None = None

    @property
    def name(self) -> str:
        """Title and patterns."""
        patterns = {"idle": self.idle, "pressure": self.pressure}
        parts = [f"{name}_{pattern}" for name, pattern in patterns.items() if pattern]
        return "-".join([self.title, *parts])

    def __str__(self) -> str:
        return self.name


def case(function: Callable[[Unit], Awaitable[None]]) -> Case:
    """Make a case of an async function of the unit, under the function's name. A decorator."""
    return Case(function.__name__, function)


def each(function: Callable[[Any], Any]) -> Callable[[Sequence[Any]], list[Any]]:
    """Make a model of a stream from a function of one item."""
    return lambda items: [function(item) for item in items]


def crossed(
    make: Callable[[Pattern, Pattern], Case], patterns: Iterable[Pattern] = PATTERNS
) -> list[Case]:
    """Return a case of each idle with each back-pressure."""
    patterns = tuple(patterns)
    return [make(idle, pressure) for idle in patterns for pressure in patterns]


def stream_cases(
    tables: Mapping[str, Table],
    model: Callable[..., Items],
    *,
    settings: Mapping[str, Any] | None = None,
    around: Callable[[Unit], None] | None = None,
    interval: float | None = None,
    patterns: Iterable[Pattern] = PATTERNS,
) -> list[Case]:
    """Return cases for a unit of streams: each table, crossed with idle and back-pressure.

    Args:
        tables: items by table name.
        model: from the items of each input (one argument each, in the signature's order) to the
            items of the only output, or of each output by name.
        settings: values of inputs that are not streams.
        around: called before anything is driven; may add responders and other roles.
        interval: cycles an item may take at full speed, on the longest stream, beyond some cycles
            to start: throughput is then part of the test.
        patterns: what is crossed.
    """

    def make(name: str, table: Table, idle: Pattern, pressure: Pattern) -> Case:
        async def run(unit: Unit) -> None:
            answered = _prepare(unit, settings, around)
            free_inputs = [port for port in unit.inputs if port not in answered]
            free_outputs = [port for port in unit.outputs if port not in answered]
            inputs = _by_name(table, free_inputs, unit.random)
            expected = _by_name(model(*inputs.values()), free_outputs, unit.random)
            for port, items in inputs.items():
                unit.drive(port, items, idle)
            boards = [unit.expect(port, items, pressure) for port, items in expected.items()]
            started = unit.count
            quiet = 100
            await unit.finish(*boards, quiet=quiet)
            if interval is not None and idle is pressure is ALWAYS:
                longest = max(map(len, [*inputs.values(), *expected.values()]))
                _check_speed(unit.count - quiet - started, longest, interval)

        return Case(f"{name}", run, idle=idle, pressure=pressure)

    patterns = tuple(patterns)
    return [
        case
        for name, table in tables.items()
        for case in crossed(partial(make, name, table), patterns)
    ]


def pipeline_cases(
    tables: Mapping[str, Table],
    model: Callable[..., Any],
    *,
    latency: int,
    inputs: Sequence[str],
    output: str | Sequence[str],
    valid: tuple[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    patterns: Iterable[Pattern] = PATTERNS,
) -> list[Case]:
    """Return cases for a unit without handshake, whose result comes a fixed number of cycles later.

    Between items the inputs carry noise.

    Args:
        tables: items by table name; an item is a tuple of the inputs' values, or the only value.
        model: from an item's values, one argument each, to the output's value; to a dict of them
            if there are several outputs, where one that it leaves out is not compared.
        latency: cycles from an item to its result; 0 is combinational.
        inputs: the ports that an item sets, in order.
        output: the port of the result, or several.
        valid: the ports that say that an item is there, and that a result is: not before it is.
        settings: values of other inputs.
        patterns: when an item comes.
    """

    def make(name: str, table: Table, idle: Pattern) -> Case:
        async def run(unit: Unit) -> None:
            _prepare(unit, settings, None)
            found = table(unit.random) if callable(table) else table
            items = [item if isinstance(item, tuple) else (item,) for item in found]
            wires = [unit.wires[port] for port in inputs]
            ports = [output] if isinstance(output, str) else output
            results = {port: unit.wires[port] for port in ports}
            here, there = (unit.wires[port] for port in valid) if valid else (None, None)
            board = Scoreboard(" and ".join(ports), [model(*item) for item in items])

            def apply(item: tuple[Any, ...]) -> None:
                for wire, value in zip(wires, item, strict=True):
                    wire.set(value)
                if here:
                    here.set(1)

            def disturb(random: Random) -> None:
                for wire in wires:
                    wire.set_bits(random.getrandbits(wire.width))
                if here:
                    here.set(0)

            def look(due: bool) -> None:
                if there and there.get() != due:
                    raise Mismatch(f"{there.name} must be {due:d}, {latency} cycles after its item")
                if due:
                    found = {port: wire.get() for port, wire in results.items()}
                    board.take(found[output] if isinstance(output, str) else found)

            driver = PipelineDriver(
                apply, disturb, look, items, latency, unit.goes(idle), unit.random
            )
            unit.join(driver)
            await unit.finish(board, quiet=latency + 2)

        return Case(f"{name}", run, idle=idle)

    return [make(name, table, idle) for name, table in tables.items() for idle in patterns]


def _prepare(
    unit: Unit, settings: Mapping[str, Any] | None, around: Callable[[Unit], None] | None
) -> set[str]:
    """Apply the settings and the surroundings; return the streams that are taken by it."""
    for port, value in (settings or {}).items():
        unit.wires[port].set(value)
    if around is not None:
        around(unit)
    return unit.taken


def _by_name(items: Table, names: Sequence[str], random: Random) -> dict[str, list[Any]]:
    found = items(random) if callable(items) else items
    if isinstance(found, Mapping):
        unknown = set(found) - set(names)
        if unknown:
            raise ValueError(f"streams must be of {sorted(names)}, not {sorted(unknown)}")
        return {name: list(found[name]) for name in names if name in found}
    if len(names) != 1:
        raise ValueError(f"items must be by stream name ({', '.join(names)}), not one list")
    return {names[0]: list(found)}


def _check_speed(cycles: int, items: int, interval: float) -> None:
    allowed = interval * items + _START_UP
    if cycles > allowed:
        raise Mismatch(
            f"{items} items must take at most {allowed:.0f} cycles at full speed, not {cycles}"
        )
