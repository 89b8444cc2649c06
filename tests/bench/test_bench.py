"""The generic bench: right units pass, units broken on purpose fail with what went wrong."""

import atexit
import os
import re
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from alula.bench import (
    ALTERNATE,
    ALWAYS,
    BURSTS,
    Bench,
    BoundCase,
    Case,
    Unit,
    case,
    each,
    each_case,
    pipeline_cases,
    random_pattern,
    stream_cases,
)

ITEM = data.StructLayout({"tag": 3, "values": data.ArrayLayout(12, 2)})


FAULTS = ("none", "value", "lost", "extra", "hang", "unstable", "withdraw", "slow")


class Queue(wiring.Component):
    """A FIFO that adds 1 to its values; `fault` breaks it, by its place in FAULTS."""

    def __init__(self, *, depth: int) -> None:
        self.depth = depth
        super().__init__(
            {
                "fault": In(range(len(FAULTS))),
                "i": In(stream.Signature(ITEM)),
                "o": Out(stream.Signature(ITEM)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fifo = inner = fifo.SyncFIFOBuffered(width=ITEM.size, depth=self.depth)
        m.d.comb += [
            inner.w_data.eq(self.i.payload.as_value()),
            inner.w_en.eq(self.i.valid),
            self.i.ready.eq(inner.w_rdy),
            self.o.valid.eq(inner.r_rdy),
            self.o.payload.as_value().eq(inner.r_data),
            inner.r_en.eq(self.o.ready),
        ]
        out = ITEM(inner.r_data)
        for index in range(2):
            m.d.comb += self.o.payload.values[index].eq(out.values[index] + 1)
        entered, left, cycle = Signal(8), Signal(8), Signal(8)
        m.d.sync += [
            entered.eq(entered + (self.i.valid & self.i.ready)),
            left.eq(left + (self.o.valid & self.o.ready)),
            cycle.eq(cycle + 1),
        ]
        with m.Switch(self.fault):
            with m.Case(FAULTS.index("value")), m.If(left == 40):
                m.d.comb += self.o.payload.values[1].eq(7)
            with m.Case(FAULTS.index("lost")), m.If(entered == 40):
                m.d.comb += inner.w_en.eq(0)
            with m.Case(FAULTS.index("extra")), m.If((left == 200) & ~inner.r_rdy):
                m.d.comb += self.o.valid.eq(1)
            with m.Case(FAULTS.index("hang")), m.If(left == 40):
                m.d.comb += [self.o.valid.eq(0), inner.r_en.eq(0)]
            with m.Case(FAULTS.index("unstable")), m.If(~self.o.ready):
                m.d.comb += self.o.payload.tag.eq(~out.tag)
            with m.Case(FAULTS.index("withdraw")), m.If(cycle[0]):
                m.d.comb += [self.o.valid.eq(0), inner.r_en.eq(0)]
            with m.Case(FAULTS.index("slow")), m.If(cycle[0]):
                m.d.comb += [self.i.ready.eq(0), inner.w_en.eq(0)]
        return m


class Adder(wiring.Component):
    """Two stages; `late` makes it three. `given` follows `enable`."""

    def __init__(self, *, late: bool = False) -> None:
        self.late = late
        members = {"a": In(16), "b": In(16), "enable": In(1), "y": Out(17), "given": Out(1)}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stages = [Signal(18) for _ in range(2 + self.late)]
        total = (self.a + self.b) & self.enable.replicate(17)
        m.d.sync += stages[0].eq(Cat(total, self.enable))
        for before, after in pairwise(stages):
            m.d.sync += after.eq(before)
        m.d.comb += Cat(self.y, self.given).eq(stages[-1])
        return m


class Reader(wiring.Component):
    """Asks a memory for the words at the addresses it is given."""

    def __init__(self) -> None:
        super().__init__(
            {
                "address": In(stream.Signature(8)),
                "request": Out(stream.Signature(8)),
                "data": In(stream.Signature(unsigned(16))),
                "word": Out(stream.Signature(unsigned(16))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wiring.connect(m, wiring.flipped(self.address), wiring.flipped(self.request))
        wiring.connect(m, wiring.flipped(self.data), wiring.flipped(self.word))
        return m


def queue_items(random: Random) -> list[dict[str, object]]:
    return [
        {"tag": random.getrandbits(3), "values": [random.getrandbits(11), index]}
        for index in range(200)
    ]


def queue_model(item: dict) -> dict[str, object]:
    return {"tag": item["tag"], "values": [value + 1 for value in item["values"]]}


def queue_cases(fault: str = "none") -> list[Case]:
    return stream_cases(
        {"random": queue_items},
        each(queue_model),
        interval=1,
        settings={"fault": FAULTS.index(fault)},
    )


def pairs(random: Random) -> list[tuple[int, int]]:
    return [(random.getrandbits(16), random.getrandbits(16)) for _ in range(100)]


def adder_cases(**more: Any) -> list[Case]:
    return pipeline_cases(
        {"edges": [(0, 0), (65535, 65535)], "random": pairs},
        lambda a, b: a + b,
        latency=2,
        inputs=("a", "b"),
        output="y",
        **more,
    )


def around(unit: Unit) -> None:
    unit.respond("request", "data", lambda address: [address * 3], offer=random_pattern(0.3))


@case
async def resets_in_the_middle(unit: Unit) -> None:
    unit.drive("i", queue_items(unit.random))
    await unit.cycles(5)
    await unit.reset()
    items = queue_items(unit.random)
    unit.drive("i", items, ALWAYS)
    await unit.finish(unit.expect("o", [queue_model(item) for item in items]))


QUEUE = Bench("queue", lambda: Queue(depth=4), [*queue_cases(), resets_in_the_middle])
ADDER = Bench("adder", Adder, adder_cases(settings={"enable": 1}))
VALID = {"valid": ("enable", "given")}
GIVEN = Bench("adder_given", Adder, adder_cases(**VALID))
READER = Bench(
    "reader",
    Reader,
    stream_cases({"all": range(256)}, each(lambda address: address * 3), around=around, interval=6),
)
BROKEN = {
    fault: Bench(f"queue_{fault}", lambda: Queue(depth=4), queue_cases(fault))
    for fault in FAULTS[1:]
}


@case
async def passes_but_the_process_dies(unit: Unit) -> None:
    await unit.cycles(1)
    atexit.register(os.abort)


async def waits_while_all_moves(unit: Unit) -> None:
    """What it waits for never comes, though something passes in every cycle."""
    unit.drive("i", [dict.fromkeys(("tag",), 1) | {"values": [0, 0]}] * 10_000)
    unit.watch("o", lambda item: None)
    await unit.until(lambda: False, "nothing")


async def waits_for_an_edge(unit: Unit) -> None:
    from cocotb.triggers import RisingEdge

    await RisingEdge(unit.dut.o__valid)


async def accepts_everything(unit: Unit) -> None:
    """Looks as if it were crossed with back-pressure."""
    items = queue_items(unit.random)
    unit.drive("i", items, BURSTS)
    await unit.finish(unit.expect("o", [queue_model(item) for item in items]))


ENDLESS = Bench(
    "queue_endless",
    lambda: Queue(depth=4),
    [Case(body.__name__, body, limit=300) for body in (waits_while_all_moves, waits_for_an_edge)],
)
DEAF = Bench(
    "queue_deaf",
    lambda: Queue(depth=4),
    [
        Case("deaf", accepts_everything, idle=BURSTS, pressure=ALTERNATE),
        Case("deaf", accepts_everything, idle=BURSTS, pressure=ALWAYS),
    ],
)
DIES = Bench("adder_dies", Adder, [passes_but_the_process_dies])
LATE = Bench("adder_late", lambda: Adder(late=True), adder_cases(settings={"enable": 1}))
LATE_GIVEN = Bench("adder_late_given", lambda: Adder(late=True), adder_cases(**VALID))


@each_case(QUEUE, ADDER, GIVEN, READER)
def test_right(case: BoundCase) -> None:
    case.check()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("value", r"^o\[40\] of 200 must be \{tag: .*, values: \[.*\]\}, not \{.*, 7\]\}"),
        ("lost", r"\[4\d\] of 200 must be .* \(which is right for \[4\d\]\)"),
        ("extra", r"^o must end after 200 items, not give "),
        ("hang", r"nothing has moved since cycle .* \(o 40 of 200\)"),
        ("unstable", r"^o must hold its payload while it waits"),
        ("withdraw", r"^o must offer until it is taken"),
        ("slow", r"^200 items must take at most 264 cycles at full speed, not 4\d\d"),
    ],
)
def test_broken_stream(fault: str, words: str) -> None:
    errors = [result.error for result in BROKEN[fault].results().values() if result.error]
    assert errors
    assert any(re.search(words, error) for error in errors), errors[0]


@pytest.mark.smoke
def test_broken_pipeline() -> None:
    results = LATE.results()
    errors = [result.error for name, result in results.items() if "random" in name]
    for error in errors:
        found = re.match(r"y\[(\d+)\] of \d+ must be .*\n  item (\d+) is \[", error or "")
        assert found, error
        assert found[1] == found[2]


def test_a_result_at_another_time() -> None:
    for result in LATE_GIVEN.results().values():
        assert re.match(r"^given must be 1, 2 cycles after its item", result.error or "")


def test_a_failure_names_bench_case_cycle_and_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = BROKEN["value"]
    bound = BoundCase(broken, broken.cases[0])
    with pytest.raises(AssertionError, match=r"queue_value-random-idle_always") as raised:
        bound.check()
    text = str(raised.value)
    assert re.search(r"\n  i took 4\d items, then offered \{tag: .*\}\n", text)
    assert re.search(r"\n  in cycle \d+ of random-idle.*, at time \d+ of the waves\n", text)
    command = f"ALULA_SEED=1 ALULA_WAVES=waves python -m pytest {__file__} -k '{bound}'"
    assert text.endswith(f"\n  {command} writes waves")
    monkeypatch.setenv("ALULA_WAVES", "waves")
    with pytest.raises(AssertionError) as raised:
        bound.check()
    path = Path.cwd() / "waves" / "queue_value.fst"
    assert str(raised.value).endswith(f"\n  ALULA_SEED=1, waves: {path}")


def test_a_case_that_would_not_end() -> None:
    for name, result in ENDLESS.results().items():
        assert (result.error or "").startswith(f"{name} must end within 300 cycles\n"), result
        assert result.cycles <= 300


def test_a_case_that_ignores_its_pressure() -> None:
    ignored, used = DEAF.results().values()
    words = "the case must use its pattern alternate, which nothing goes by\n"
    assert (ignored.error or "").startswith(words), ignored
    assert used.error is None


def test_a_simulator_that_crashes_at_its_end() -> None:
    with pytest.raises(RuntimeError, match=r"^the simulator must end with 0, not -6:"):
        DIES.results()
