# amaranth: UnusedElaboratable=no
"""MISC, bit for bit against the machine model, with stalls on every port."""

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from tests.gateware.sfu_machine import (
    GROUPS,
    SMALLEST_ROW,
    STAGING_BYTES,
    WORDS,
    Buffers,
    Command,
    bits,
    contents,
    encoded,
    sfu_case,
)

from alula.bench import (
    ALWAYS,
    PATTERNS,
    Bench,
    BoundCase,
    Case,
    Mismatch,
    Unit,
    each_case,
)
from alula.gateware.control.fault import Code
from alula.gateware.sfu.engine import Sfu
from alula.model.errors import OutOfRange, Unimplemented

TOKENS = 4
Made = tuple[np.ndarray, list[Command]]


def _places(random: Random, *sizes: int) -> list[int]:
    """First words of areas that do not overlap."""
    room = WORDS - sum(sizes)
    assert room >= 0, sizes
    gaps = sorted(random.randint(0, room) for _ in sizes)
    places, used = [], 0
    for gap, size in zip(gaps, sizes, strict=True):
        places.append(gap + used)
        used += size
    return places


def _add(lanes: int):
    def make(random: Random) -> Made:
        commands: list[Command] = []
        for rows, words in ((1, 1), (1, 37), (3, 5), (4, 2), (0, 3), (2, 0)):
            for broadcast in (False, True):
                size = max(rows * words, 1)
                a, b, dst = _places(random, size, size, size)
                dst = random.choice((a, dst))
                fields = {"dst": dst, "a": a, "b": b, "rows": rows, "words": words}
                commands.append(("ADD", fields | {"broadcast": broadcast}))
        return contents(random, lanes, "any"), commands

    return make


def _act(lanes: int):
    def make(random: Random) -> Made:
        commands: list[Command] = []
        for func in ("silu", "gelu", "gelu_tanh", "relu"):
            for gated in (False, True):
                for count in (1, 40, 0):
                    a, b, dst = _places(random, count, count, count)
                    dst = random.choice((a, b if gated else a, dst))
                    fields = {"func": func, "gated": gated, "dst": dst, "a": a, "b": b}
                    commands.append(("ACT", fields | {"count": count}))
        return contents(random, lanes, "wide"), commands

    return make


def _soft_cap(lanes: int):
    def make(random: Random) -> Made:
        commands: list[Command] = []
        for rows, words in ((1, 1), (1, 90), (3, 5), (2, 40), (0, 3), (2, 0)):
            stride = words + random.randint(0, 3)
            (src,) = _places(random, max(rows, 1) * stride)
            cap = random.choice((0.5, 30.0, 50.0))
            fields = {"src": src, "rows": rows, "words": words, "stride": stride}
            commands.append(("SOFTCAP", fields | {"inv": bits(2 / cap), "span": bits(2 * cap)}))
        return contents(random, lanes, "any" if random.random() < 0.5 else "wide"), commands

    return make


def _norm(lanes: int, name: str):
    def make(random: Random) -> Made:
        commands: list[Command] = []
        most = min(576, 144 * lanes)
        sizes = ((1, 1), (1, most), (3, 70), (2, 63), (1, 200), (2, lanes), (0, 9))
        for rows, length in sizes:
            words = -(-length // lanes)
            src, gain, dst = _places(random, rows * words, 2 * words, rows * words)
            fields = {
                "dst": random.choice((src, dst)),
                "src": src,
                "gain": gain,
                "rows": rows,
                "len": length,
                "inv": bits(1 / length),
                "eps": bits(1e-5),
            }
            commands.append((name, fields))
        return contents(random, lanes), commands

    return make


def _softmax(lanes: int):
    def make(random: Random) -> Made:
        commands: list[Command] = []
        for rows, length, step in (
            (1, 1, False), (1, 129, False), (3, 30, True), (4, 64, False), (2, 31, True),
            (5, 1, True), (0, 4, False),
        ):  # fmt: skip
            stride = -(-(length + 32 + rows) // lanes) + 32 // lanes + random.randint(0, 3)
            src, scale = _places(random, max(rows, 1) * stride, stride)
            fields = {"src": src, "rows": rows, "len": length, "step": step}
            commands.append(("SOFTMAX", fields | {"stride": stride, "scale": scale}))
        return contents(random, lanes, "wide"), commands

    return make


def _rope(lanes: int):
    def make(random: Random) -> Made:
        commands: list[Command] = []
        for rows, heads, dim in ((1, 3, 64), (4, 2, 2 * lanes), (2, 1, 96), (1, 0, 64)):
            stride = heads * dim // lanes + random.randint(0, 3)
            table_words = -(-rows * dim // lanes)
            src, table = _places(random, rows * stride + 1, table_words)
            fields = {"src": src, "table": table, "rows": rows, "heads": heads}
            commands.append(("ROPE", fields | {"dim": dim, "stride": stride}))
        return contents(random, lanes), commands

    return make


def _quant(lanes: int, kind: str):
    def make(random: Random) -> Made:
        commands: list[Command] = []
        for rows, length, slot in (
            (1, 32, 0), (1, 576, 1), (5, 64, 2), (3, 70, 7), (2, 3, 0), (9, 32, 3), (0, 5, 0),
            (1, 0, 0),
        ):  # fmt: skip
            stride = -(-length // lanes) + random.randint(0, 3)
            (src,) = _places(random, rows * stride + 1)
            fields = {"src": src, "dst": random.randint(0, 500), "slot": slot, "rows": rows}
            commands.append(("QUANT", fields | {"len": length, "stride": stride}))
        start = contents(random, lanes, kind)
        start[: 40 * lanes] = 0
        fields = {"src": 0, "dst": GROUPS - 2, "slot": 0, "rows": 2, "len": 40, "stride": 16}
        return start, [*commands, ("QUANT", fields)]

    return make


def _quant_kv(lanes: int, kind: str):
    def make(random: Random) -> Made:
        commands: list[Command] = []
        for rows, heads, dim in ((1, 3, 64), (2, 2, 32), (2, 5, 8), (3, 4, 4), (1, 2, 48),
                                 (1, 0, 64)):  # fmt: skip
            if dim % lanes and lanes % dim:
                continue
            stride = -(-heads * dim // lanes) + random.randint(0, 3)
            (src,) = _places(random, rows * stride + 1)
            fields = {"src": src, "dst": random.randint(0, 40), "rows": rows, "heads": heads}
            commands.append(("QUANTKV", fields | {"dim": dim, "stride": stride}))
        start = contents(random, lanes, kind)
        start[: 8 * lanes] = 0
        last = STAGING_BYTES // SMALLEST_ROW - 1
        fields = {"src": 0, "dst": last - 1, "rows": 2, "heads": 1, "dim": 32, "stride": 2}
        return start, [*commands, ("QUANTKV", fields)]

    return make


def _argmax(lanes: int):
    def make(random: Random) -> Made:
        commands: list[Command] = []
        base = 0
        counts = (1, 100, 333, 7, 500, 0, 64, 0)
        restarts = (False, False, True, False, False, True, False, False)
        for count, first in zip(counts, restarts, strict=True):
            (src,) = _places(random, -(-count // lanes))
            fields = {"src": src, "count": count, "base": base, "first": first}
            commands.append(("ARGMAX", fields))
            base += count
        start = contents(random, lanes)
        start[:: random.randint(5, 9)] = bits(50.0)  # ties
        return start, commands

    return make


def _refused(lanes: int) -> Case:
    """What the SFU does not have, or what lies beyond a buffer, stops it: never done, reported.

    The machine model refuses the same, and takes what ends exactly at a buffer's end.
    """
    rope = {"src": 0, "table": 9, "rows": 1, "heads": 1, "dim": lanes, "stride": 4}
    split = {"src": 0, "dst": 0, "rows": 1, "heads": 1, "dim": lanes + 1, "stride": 4}
    add = {"a": 0, "b": 0, "dst": 0, "rows": 2, "words": 5, "broadcast": False}
    norm = {"dst": 0, "src": 0, "gain": 64, "rows": 3, "len": 2 * lanes}
    norm |= {"inv": bits(1 / 32), "eps": bits(1e-5)}
    quant = {"src": 0, "dst": 0, "slot": 0, "rows": 5, "len": 40, "stride": 64}
    kv = {"src": 0, "dst": 0, "rows": 3, "heads": 2, "dim": 64, "stride": 64}
    soft = {"src": 0, "rows": 2, "len": 5, "step": True, "stride": 64, "scale": 200}
    argmax = {"src": 0, "count": 9 * lanes, "base": 0, "first": True}
    row = -(-40 // lanes)
    staged = STAGING_BYTES // (32 * 2 + 2)
    ends = [
        ("ADD", add | {"a": WORDS - 10}, "a", 1),
        ("ADD", add | {"b": WORDS - 5, "broadcast": True}, "b", 1),
        ("ADD", add | {"dst": WORDS - 10}, "dst", 1),
        ("ADD", add | {"a": WORDS - 10}, "a", 0xFFFF_0000),
        ("RMSNORM", norm | {"src": WORDS - 6, "dst": WORDS - 6}, "src", 1),
        ("RMSNORM", norm | {"gain": WORDS - 2}, "gain", 1),
        ("QUANT", quant | {"src": WORDS - 256 - row}, "src", 1),
        ("QUANT", quant | {"src": WORDS - 256 - row}, "stride", 1),
        ("QUANT", quant | {"dst": GROUPS - 4}, "dst", 1),
        ("QUANT", quant | {"dst": GROUPS - 4}, "dst", 1 << 13),
        ("QUANTKV", kv | {"dst": staged - 6}, "dst", 1),
        ("SOFTMAX", soft | {"src": WORDS - 64 - 32 // lanes}, "src", 1),
        ("SOFTMAX", soft | {"scale": WORDS - -(-6 // lanes)}, "scale", 1),
        ("ARGMAX", argmax | {"src": WORDS - 9}, "src", 1),
    ]
    refused = [
        ("ROPE", rope, Code.UNIMPLEMENTED),
        ("QUANTKV", split, Code.UNIMPLEMENTED),
        ("QUANT", quant | {"rows": 1, "len": 513 * 32}, Code.OUT_OF_RANGE),
        ("QUANTKV", kv | {"dim": 496}, Code.OUT_OF_RANGE),
        ("ADD", add | {"rows": 256, "words": 1}, Code.OUT_OF_RANGE),
        ("ADD", add | {"rows": 0, "words": 1 << 16}, Code.OUT_OF_RANGE),
        ("ROPE", rope | {"rows": 0, "heads": 256, "dim": 2 * lanes}, Code.OUT_OF_RANGE),
        ("QUANT", quant | {"rows": 0, "len": 513 * 32}, Code.OUT_OF_RANGE),
    ]

    async def run(unit: Unit) -> None:
        start = contents(unit.random, lanes)

        async def attempt(name: str, fields: dict[str, Any]) -> tuple[bool, int]:
            """Whether it was done, and the fault."""
            await unit.reset()

            def within(limit: int, field: str) -> Callable[[dict], None]:
                def check(item: dict) -> None:
                    assert item[field] < limit, (name, fields, item)

                return check

            for port in ("a", "b"):
                unit.respond(f"{port}__request", f"{port}__data", lambda _: [[0x3F800000] * lanes])
            unit.watch("write", within(WORDS, "address"))
            unit.watch("activation", within(GROUPS, "group"))
            unit.watch("staging", within(STAGING_BYTES // SMALLEST_ROW, "row"))
            unit.drive("command", [encoded(name, fields)])
            done = False
            for _ in range(1500):
                await unit.cycles()
                done |= bool(unit.wires["done"].get())
                if done or unit.wires["error"].get()["code"]:
                    break
            await unit.cycles(40)
            done |= bool(unit.wires["done"].get())
            return done, unit.wires["error"].get()["code"]

        for name, fields, field, more in ends:
            Buffers(lanes, TOKENS, start).run(name, fields)
            if await attempt(name, fields) != (True, 0):
                raise Mismatch(f"{name} {fields} must be done")
            beyond = fields | {field: fields[field] + more}
            with pytest.raises(OutOfRange):
                Buffers(lanes, TOKENS, start).run(name, beyond)
            if await attempt(name, beyond) != (False, Code.OUT_OF_RANGE.value):
                raise Mismatch(f"{name} {beyond} must be out of range")
        for name, fields, code in refused:
            with pytest.raises(OutOfRange if code is Code.OUT_OF_RANGE else Unimplemented):
                Buffers(lanes, TOKENS, start).run(name, fields)
            if await attempt(name, fields) != (False, code.value):
                raise Mismatch(f"{name} {fields} must be refused with {code}")

    return Case("refused", run)


def _bench(lanes: int) -> Bench:
    """Every idle with every back-pressure where lanes are few and cycles cheap."""
    cases = []
    for name, make in (
        ("add", _add(lanes)),
        ("act", _act(lanes)),
        ("softcap", _soft_cap(lanes)),
        ("rmsnorm", _norm(lanes, "RMSNORM")),
        ("softmax", _softmax(lanes)),
        ("rope", _rope(lanes)),
        ("quant", _quant(lanes, "normal")),
        ("quant-wide", _quant(lanes, "any")),
        ("quantkv", _quant_kv(lanes, "normal")),
        ("quantkv-wide", _quant_kv(lanes, "any")),
        ("argmax", _argmax(lanes)),
        ("layernorm", _norm(lanes, "LAYERNORM")),
    ):
        for idle in PATTERNS:
            for pressure in PATTERNS:
                if lanes == 4 or idle is pressure:
                    cases.append(sfu_case(name, lanes, TOKENS, make, idle, pressure))
    cases.append(_refused(lanes))
    sizes = {"words": WORDS, "groups": GROUPS, "staging_bytes": STAGING_BYTES}
    return Bench(f"sfu-{lanes}", lambda: Sfu(lanes=lanes, tokens=TOKENS, **sizes), cases)


SFU_2, SFU_4, SFU_8, SFU_16 = (_bench(lanes) for lanes in (2, 4, 8, 16))


@each_case(SFU_2, SFU_4, SFU_16)
def test_sfu(case: BoundCase) -> None:
    case.check()


@pytest.mark.slow
@each_case(SFU_8)
def test_sfu_of_8_lanes(case: BoundCase) -> None:
    case.check()


LARGE = 1 << 15
"""Words of a buffer whose every power of two is also a count."""


def _large(name: str, **fields: Any):
    """All of a large buffer, or half of it."""
    return lambda random: (contents(random, 2, words=LARGE), [(name, fields)])


SFU_LARGE = Bench(
    "sfu-large",
    lambda: Sfu(lanes=2, tokens=TOKENS, words=LARGE, groups=GROUPS, staging_bytes=STAGING_BYTES),
    [
        sfu_case(name, 2, TOKENS, make, ALWAYS, ALWAYS)
        for name, make in (
            ("act", _large("ACT", func="relu", gated=False, dst=0, a=0, b=0, count=LARGE)),
            (
                "add",
                _large("ADD", dst=0, a=0, b=LARGE // 2, rows=1, words=LARGE // 2, broadcast=False),
            ),
            ("argmax", _large("ARGMAX", src=0, count=(1 << 16) - 1, base=0, first=True)),
            (
                "rope",
                _large("ROPE", src=0, table=LARGE // 2, rows=64, heads=32, dim=16, stride=256),
            ),
        )
    ],
)


@pytest.mark.slow
@each_case(SFU_LARGE)
def test_sfu_of_a_large_buffer(case: BoundCase) -> None:
    case.check()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"lanes": 32, "tokens": 4}, "lanes must be 2, 4, 8 or 16, not 32"),
        ({"lanes": 16, "tokens": 3}, "tokens must be a power of two, not 3"),
    ],
)
def test_refused(parameters: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sfu(**parameters)
