"""When the accelerator's instructions ran: in the gateware, or by the cycle model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from alula.cost import InstructionTimes
from alula.isa import Engine, Program
from alula.runtime.runs import EngineRetirements, Run

WAITS = "waits"
_ANY = "*"


@dataclass(frozen=True)
class TimedInstruction:
    """An instruction on its engine.

    Attributes:
        engine: it.
        address: in the program.
        unit: which part of the model it serves, such as layers.3.attn.q; layers.* outside the loop
            over layers; "" if none.
        begin, end: cycles from the run's start. What overlaps the one before on its engine begins
            here when that one ends; in the gateware, whose retirements alone are seen, all do.
    """

    engine: Engine
    address: int
    unit: str
    begin: float
    end: float


def retired(engines: Sequence[EngineRetirements]) -> list[TimedInstruction]:
    """Return the instructions of a run in the gateware, each from the last retirement on."""
    found = []
    for one in engines:
        before = 0.0
        for end, address, unit in zip(one.cycles.tolist(), one.addresses, one.units, strict=False):
            unit = _any_layer(unit)
            found.append(TimedInstruction(one.engine, address, unit, before, float(end)))
            before = float(end)
    return sorted(found, key=lambda one: one.end)


def modelled(program: Program, run: Run, times: InstructionTimes) -> list[TimedInstruction]:
    """Return the instructions of a run by the cycle model."""
    first = run.inputs.get("first_layer", 0)
    ends, found = dict.fromkeys(Engine, 0.0), []
    order = np.argsort(times.spans[:, 1], kind="stable")
    for index in order.tolist():
        address, layer = int(times.addresses[index]), int(times.layers[index])
        engine = program.ops[address].instruction.engine
        begin, end = times.spans[index].tolist()
        begin = max(begin, ends[engine])
        ends[engine] = end
        unit = _unit(program, address, layer, first)
        found.append(TimedInstruction(engine, address, unit, begin, end))
    return found


def with_waits(
    instructions: Sequence[TimedInstruction], cycles: float
) -> Iterator[tuple[TimedInstruction | None, float, float]]:
    """Yield what one engine does from a run's start to its end, without a gap: None where it waits.

    Args:
        instructions: of one engine, in order.
        cycles: of the run.

    Yields:
        The instruction, its begin and its end.
    """
    now = 0.0
    for one in instructions:
        if one.begin > now:
            yield None, now, one.begin
        yield one, one.begin, one.end
        now = one.end
    if cycles > now:
        yield None, now, cycles


def layers(
    instructions: Sequence[TimedInstruction], cycles: float
) -> Iterator[tuple[str, float, float]]:
    """Yield the model's units one after the other, from a run's start to its end.

    A unit lasts until the next one's first instruction is over, the sequencer's apart, which runs
    ahead. Programs interleave the end of a layer with the beginning of the next: that one has begun
    then.
    """
    now, current, before, last = 0.0, "", "", 0.0
    for one in instructions:
        if one.engine is Engine.SYS:
            continue
        parts = one.unit.split(".")
        name = ".".join(parts[:2]) if parts[0] == "layers" else parts[0]
        if name and name not in (current, before, f"layers.{_ANY}"):
            if current and last > now:
                yield current, now, last
                now = last
            before, current = current, name
        last = one.end
    if cycles > now:
        yield current or WAITS, now, cycles


def _unit(program: Program, address: int, layer: int, first: int) -> str:
    """Return an instruction's unit with its layer's number, as the machine model names it."""
    text = program.origins[address] if address < len(program.origins) else ""
    if layer < 0:
        return _any_layer(text)
    start = max(
        (max(first, least) for loop, least in program.layer_loops.items() if loop < address),
        default=first,
    )
    number = start + layer
    return text.replace("{layer}", str(number)).replace("{layer-1}", str(max(0, number - 1)))


def _any_layer(unit: str) -> str:
    """Return the unit of what is outside a loop over layers, whose number is not known."""
    return unit.replace("{layer}", _ANY).replace("{layer-1}", _ANY)
