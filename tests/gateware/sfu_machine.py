"""The SFU beside buffers, and the machine model on the same contents."""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import numpy as np
from tests.gateware import exact
from tests.gateware.uses import Uses, waits

from alula.bench import ALWAYS, Case, Mismatch, Pattern, Unit
from alula.isa import Op
from alula.isa.instructions import BY_NAME
from alula.isa.kv import STAGING_VALUES
from alula.model.checks import Checks
from alula.model.state import State

WORDS = 1 << 10
GROUPS = 1 << 14
STAGING_BYTES = 1 << 18
SMALLEST_ROW = 34
"""Bytes of a staging row of one group."""

Command = tuple[str, dict[str, Any]]


class Buffers(State):
    """The state that MISC works on, of any number of lanes and tokens."""

    def __init__(self, lanes: int, tokens: int, contents: np.ndarray) -> None:
        self.lanes, self.tokens = lanes, tokens
        self.vector_words, self.groups = contents.size // lanes, GROUPS
        self.staging_bytes = STAGING_BYTES
        sizes = {"L": lanes, "T": tokens, "WORDS": self.vector_words, "GROUPS": GROUPS}
        self.checks = Checks(sizes | {"STAGING": STAGING_BYTES})
        self.vector = contents.view(np.float32).copy()
        self.vector_bits = self.vector.view(np.uint32)
        self.activations = (
            np.zeros((GROUPS, tokens, 32), np.int8),
            np.zeros((GROUPS, tokens), np.uint8),
            np.zeros((GROUPS, tokens), np.int16),
        )
        rows = self.staging_bytes // SMALLEST_ROW
        self.staging = np.zeros((rows, STAGING_VALUES), np.int8)
        self.staging_scale = np.zeros(rows, np.uint16)
        self.best, self.best_index = 0.0, -1

    def run(self, name: str, fields: dict[str, Any]) -> None:
        """Execute an instruction."""
        values = (fields[field.name] for field in BY_NAME[name].fields)
        self.checks.handler(Op(name, fields))(self, *values)


def encoded(name: str, fields: dict[str, Any]) -> dict[str, int]:
    """An instruction as the engine receives it."""
    instruction = BY_NAME[name]
    values = {"opcode": instruction.opcode}
    for field in instruction.fields:
        value = fields[field.name]
        choices = getattr(field, "choices", None)
        values[field.name] = choices.index(value) if choices else value
    return values


def bits(value: float) -> int:
    return int(np.float32(value).view(np.uint32))


def contents(random: Random, lanes: int, kind: str = "normal", words: int = WORDS) -> np.ndarray:
    """A vector buffer of values in a narrow range, in a wide one, or of anything."""
    numbers = np.random.default_rng(random.getrandbits(32))
    count = words * lanes
    if kind == "any":
        return np.array([exact.number(random) for _ in range(count)], np.uint32)
    spread = {"normal": 1.0, "wide": 8.0}[kind]
    values = numbers.normal(size=count) * np.exp2(numbers.normal(size=count) * spread)
    values[numbers.random(count) < 0.01] = 0
    return values.astype(np.float32).view(np.uint32)


def sfu_case(
    name: str,
    lanes: int,
    tokens: int,
    make: Callable[[Random], tuple[np.ndarray, Sequence[Command]]],
    idle: Pattern,
    pressure: Pattern,
) -> Case:
    """Instructions one after the other; everything that the model holds must be the same.

    `idle` is of the words read, `pressure` of requests and writes.
    """

    async def run(unit: Unit) -> None:
        start, commands = make(unit.random)
        model = Buffers(lanes, tokens, start)
        found = Buffers(lanes, tokens, start)
        sums = np.zeros((GROUPS, tokens), np.int64)

        def read(address: int) -> Iterator[list[int]]:
            at = address % found.vector_words * lanes
            yield found.vector_bits[at : at + lanes].tolist()

        def write(item: dict) -> None:
            at = item["address"] * lanes
            assert item["mask"] == (1 << lanes) - 1
            found.vector_bits[at : at + lanes] = item["data"]

        def activation(item: dict) -> None:
            place = item["group"], item["slot"]
            half = item["half"]
            found.activations[0][(*place, slice(16 * half, 16 * half + 16))] = item["data"]
            if half:
                found.activations[1][place] = item["side"]["scale"]
                found.activations[2][place] = item["side"]["exponent"]
                sums[place] = item["side"]["sum"]

        def staging(item: dict) -> None:
            part = 16 * item["half"]
            found.staging[item["row"], part : part + 16] = item["data"]
            if part == 0:
                found.staging_scale[item["row"]] = item["scale"]

        waited = [(False, False)]

        def wanted() -> tuple[bool, bool]:
            """What the cycle before saw."""
            requests, words = (
                any(waits(unit.outputs[port]) for port in ports)
                for ports in (("a__request", "b__request"), ("write", "activation", "staging"))
            )
            waited.append((requests, words))
            return waited.pop(0)

        uses = Uses(unit, wanted)
        unit.join(uses)
        for port in ("a", "b"):
            unit.respond(f"{port}__request", f"{port}__data", read, pressure, idle)
        unit.watch("write", write, pressure)
        unit.watch("activation", activation, pressure)
        unit.watch("staging", staging, pressure)
        driver = unit.drive("command")
        for index, (opcode, fields) in enumerate(commands):
            driver.send(encoded(opcode, fields))
            await unit.cycles()
            done: list[int] = []

            def finished(done: list[int] = done) -> bool:
                if unit.wires["done"].get():
                    done.append(unit.count)
                return bool(done)

            await unit.until(finished, f"done of {opcode} {fields}")
            model.run(opcode, fields)
            what = f"instruction {index}, {opcode} {fields}"
            same(what, "vector", found.vector_bits, model.vector_bits)
            same(what, "int8", found.activations[0], model.activations[0])
            same(what, "scale", found.activations[1], model.activations[1])
            if opcode == "QUANT":
                groups = -(-fields["len"] // 32)
                for row in range(fields["rows"]):
                    at = (fields["slot"] + row) // tokens * groups + fields["dst"]
                    slot = (fields["slot"] + row) % tokens
                    wanted = [int(model.activations[2][at, slot])] * groups
                    same(what, "exponent", found.activations[2][at : at + groups, slot], wanted)
                    wanted = model.activations[0][at : at + groups, slot].sum(1)
                    same(what, "sum", sums[at : at + groups, slot], wanted)
            same(what, "staging", found.staging, model.staging)
            same(what, "staging scale", found.staging_scale, model.staging_scale)
            index_found = unit.wires["argmax"].get()
            same(what, "argmax", [index_found], [max(model.best_index, 0)])
        if bool(uses.seen["starved"]) != (pressure is not ALWAYS):
            raise Mismatch(f"requests must wait where {pressure} says so, not {uses.seen}")

    return Case(f"{name}", run, idle=idle, pressure=pressure)


def same(what: str, part: str, found: Any, expected: Any) -> None:
    """Raise unless two arrays are equal; name the first place where they are not."""
    found, expected = np.asarray(found), np.asarray(expected)
    if not np.array_equal(found, expected):
        places = np.argwhere(found != expected)
        first = tuple(int(i) for i in places[0])
        raise Mismatch(
            f"{what}: {part}{list(first)} must be {int(expected[first]):#x},"
            f" not {int(found[first]):#x} ({len(places)} places differ)"
        )
