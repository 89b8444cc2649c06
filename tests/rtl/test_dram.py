"""The DRAM model: what it gives, and that no command comes sooner than JEDEC lets it."""

import ctypes
import random
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from benchmarks.ports import one_port

from alula.design import Design, load_design
from alula.rtl import dram, plain_reader
from alula.rtl.native import native_library

pytestmark = pytest.mark.smoke

KV260 = one_port(load_design("kv260"))
X8, X16 = "ddr4-2400r-8gb-x8", "ddr4-2400r-8gb-x16"
READ, WRITE, ACTIVATE, PRECHARGE, PRECHARGE_ALL, REFRESH = range(6)


def with_dram(design: Design = KV260, **fields: object) -> Design:
    """A design with other fields of memory.dram."""
    return design.replace({f"memory.dram.{name}": value for name, value in fields.items()})


# Shares of the peak that Ramulator 2.1 gives to sequential reads of 64 bytes: DDR4_2400R, one rank,
# FRFCFS, 32 reads in its queue, open rows, refresh of all banks.
@pytest.mark.parametrize(
    ("part", "mapping", "expected"),
    [
        (X8, "row rank bank column bankgroup", 0.950),
        (X16, "row rank bank column bankgroup", 0.950),
        (X8, "row rank column bank bankgroup", 0.948),
        (X16, "row rank column bank bankgroup", 0.946),
        (X8, "row rank bank bankgroup column", 0.747),
        (X16, "row rank bank bankgroup column", 0.741),
    ],
)
def test_a_sequential_reader_gets_what_another_simulator_says(
    part: str, mapping: str, expected: float
) -> None:
    design = with_dram(part=part, mapping=mapping, hashed=False)
    cycles = 500_000
    share = plain_reader.dram_efficiency(
        design, plain_reader.sequential_bytes(design, cycles), cycles
    )
    assert share == pytest.approx(expected, rel=0.02)
    assert share == plain_reader.sequential_bytes(design, cycles) / 64 / cycles


@pytest.mark.parametrize(("part", "expected"), [(X8, 0.934), (X16, 0.915)])
def test_the_other_simulator_s_hash_gives_the_same_here(part: str, expected: float) -> None:
    """Its MOP4CLXOR hashes the row too, so that a bank's row changes every 8 or 16 reads."""
    design = with_dram(part=part, mapping="row column bank rank bankgroup", hashed=False)
    groups, banks = design.memory.channel.part.bank_groups, design.memory.channel.part.banks
    cycles = 500_000
    line = np.arange(cycles, dtype=np.uint64)
    low, rest = line % 4, line // 4
    group, rest = rest % groups, rest // groups
    bank, rest = rest % banks, rest // banks
    column, row = low + 4 * (rest % 32), rest // 32
    group ^= column % groups
    bank ^= column // groups % banks
    row ^= column // (groups * banks)
    accesses = ((row * 128 + column) * banks + bank) * groups + group
    assert len(set(accesses.tolist())) == cycles
    config = dram.dram_config(design)
    place = accesses.ctypes.data_as(ctypes.c_void_p)
    reads = library().arrived(ctypes.byref(config), place, ctypes.c_uint64(cycles))
    assert reads / cycles == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("name", ["kv260", "tiny", "u280", "vhk158"])
def test_refresh_is_what_a_shipped_design_s_reader_loses(name: str) -> None:
    design = load_design(name)
    channel, cycles = design.memory.channel, 30_000
    read = plain_reader.sequential_bytes(design, cycles)
    ports = design.memory.axi.bytes_per_cycle(design.clock_hz) * design.clock_hz
    peak = float(min(channel.bytes_per_second, ports) * design.channels)
    share = read * design.clock_hz / (cycles * peak)
    refreshing = channel.timings["tRFC"] / channel.timings["tREFI"]
    # A port slower than its DRAM catches up between two refreshes.
    slack = channel.bytes_per_second * design.channels / peak - 1
    assert 1 - refreshing - 0.03 < share < min(1, 1 - refreshing + slack)


def test_mapping_and_timings_count() -> None:
    cycles = 100_000
    usual = plain_reader.sequential_bytes(KV260, cycles)
    slow = with_dram(mapping="row rank bank bankgroup column")
    assert plain_reader.sequential_bytes(slow, cycles) < 0.9 * usual
    rare = with_dram(timings={"tREFI": 100_000})
    assert plain_reader.sequential_bytes(rare, cycles) > 1.03 * usual
    assert plain_reader.sequential_bytes(rare, cycles) / cycles > 0.985 * 64


class Asked(ctypes.Structure):
    _fields_ = [("access", ctypes.c_uint64), ("write", ctypes.c_uint32), ("pause", ctypes.c_uint32)]


class Issued(ctypes.Structure):
    _fields_ = [
        ("at", ctypes.c_uint64),
        *((name, ctypes.c_uint32) for name in ("command", "rank", "group", "bank")),
        ("row", ctypes.c_uint64),
    ]


@cache
def library() -> ctypes.CDLL:
    folder = Path(dram.__file__).parent
    texts = {name: (folder / name).read_text() for name in dram.HEADERS}
    here = Path(__file__).with_name("dram_commands.cpp")
    found = ctypes.CDLL(native_library(texts | {here.name: here.read_text()}))
    found.commands.restype = found.arrived.restype = ctypes.c_uint64
    return found


def commands(
    design: Design, asked: list[tuple[int, bool, int]], cycles: int
) -> tuple[list[Issued], list[int]]:
    """The commands for (access, write, pause) and the cycles in which reads arrive."""
    config = dram.dram_config(design)
    room = 8 * len(asked) + cycles
    log, arrivals = (Issued * room)(), (ctypes.c_uint64 * len(asked))()
    many = library().commands(
        ctypes.byref(config),
        (Asked * len(asked))(*asked),
        ctypes.c_uint64(len(asked)),
        ctypes.c_uint64(cycles),
        log,
        ctypes.c_uint64(room),
        arrivals,
    )
    assert many <= room
    reads = sum(not write for _, write, _ in asked)
    return list(log[:many]), list(arrivals[:reads])


def test_one_read_takes_what_its_commands_take() -> None:
    design = with_dram(timings={"tREFI": 1 << 20})
    timings, latency = design.memory.channel.timings, KV260.memory.dram.latency_cycles
    row = 1 << (1 + 7 + 2)
    # A closed bank, the same row, another one of the same bank (the row's lowest bits are hashed).
    asked = [(0, False, 0), (2, False, 200), (8 * row, False, 200)]
    _, arrivals = commands(design, asked, 1000)
    first, hit, conflict = (
        cycle - asked_at - latency for cycle, asked_at in zip(arrivals, (0, 200, 400), strict=True)
    )
    data = timings["CL"] + 4
    assert first == -(-(timings["tRCD"] + data) // 4)
    assert hit == -(-data // 4)
    assert conflict == -(-(timings["tRP"] + timings["tRCD"] + data) // 4)


TRAFFIC = {
    "kv260": KV260,
    "x8": with_dram(part=X8, mapping="row rank column bank bankgroup"),
    "two ranks": with_dram(part=X8, ranks=2, mapping="row bank column rank bankgroup column:1"),
    "tiny": load_design("tiny"),
    "u280": load_design("u280"),
    "vhk158": load_design("vhk158"),
    "ddr5": KV260.replace({"memory.kind": "ddr5", "memory.dram": {}}),
    "lpddr4": KV260.replace({"memory.kind": "lpddr4", "memory.dram": {}}),
    "hbm3": KV260.replace({"memory.kind": "hbm3", "memory.dram": {}}),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("design", TRAFFIC.values(), ids=TRAFFIC)
def test_no_command_comes_too_soon(design: Design, seed: int) -> None:
    dice = random.Random(seed)
    asked = []
    while len(asked) < 3000:
        start, write = dice.randrange(1 << dice.choice([6, 14, 22])), dice.random() < 0.3
        pause = dice.choice([0, 0, 0, 5, 300])
        for step in range(dice.choice([1, 4, 64])):
            asked.append((start + step, write, pause if step == 0 else 0))
    log, arrivals = commands(design, asked, 200_000)
    columns = [one for one in log if one.command in (READ, WRITE)]
    reads = sum(not write for _, write, _ in asked)
    assert [sum(one.command == kind for one in columns) for kind in (READ, WRITE)] == [
        reads,
        len(asked) - reads,
    ]
    assert len(arrivals) == reads
    assert arrivals == sorted(arrivals)
    assert arrivals[0] > 0
    check(design, log)


def check(design: Design, log: list[Issued]) -> None:
    """Check each command against those before it, rule by rule, as the standards state them."""
    channel = design.memory.channel
    t, burst = channel.timings, channel.burst_clocks
    rows: dict[int, int | None] = {}
    last: dict[tuple[object, ...], int] = {}
    activations: dict[int, list[int]] = {}
    refreshes: dict[int, list[int]] = {}
    previous = -1

    def after(clocks: int, *key: object) -> None:
        if key in last:
            assert now >= last[key] + clocks, (key, now - last[key], clocks)

    for one in log:
        now, kind, rank, group, bank = one.at, one.command, one.rank, one.group, one.bank
        assert now > previous, "one command a clock"
        previous = now
        after(t["tRFC"], "refresh", rank)
        if kind == ACTIVATE:
            assert rows.get(bank) is None
            rows[bank] = one.row
            after(t["tRC"], "bank", ACTIVATE, bank)
            after(t["tRP"], "bank", PRECHARGE, bank)
            after(t["tRP"], PRECHARGE_ALL, rank)
            after(t["tRRD_L"], "group", ACTIVATE, group)
            after(t["tRRD_S"], "rank", ACTIVATE, rank)
            four = activations.setdefault(rank, [])
            assert len(four) < 4 or now >= four[-4] + t["tFAW"]
            four.append(now)
        elif kind in (READ, WRITE):
            assert rows.get(bank) == one.row
            after(t["tRCD"], "bank", ACTIVATE, bank)
            after(t["tCCD_L"], "group", kind, group)
            after(t["tCCD_S"], "rank", kind, rank)
            if kind == READ:
                after(t["CWL"] + burst + t["tWTR_L"], "group", WRITE, group)
                after(t["CWL"] + burst + t["tWTR_S"], "rank", WRITE, rank)
                bus = now + t["CL"]
            else:
                bus = now + t["CWL"]
            if "bus" in (key[0] for key in last):
                # Two clocks of the bus between drivers: reads and writes, and different ranks.
                turn = 0 if last[("driver",)] == (kind == READ, rank) else 2
                write_to_read = kind == READ and not last[("driver",)][0]
                if not (write_to_read and last[("driver",)][1] == rank):
                    assert bus >= last[("bus",)] + burst + turn
            last["bus",] = bus
            last["driver",] = (kind == READ, rank)
        elif kind in (PRECHARGE, PRECHARGE_ALL):
            many = channel.part.bank_groups * channel.part.banks
            closed = [bank] if kind == PRECHARGE else range(rank * many, (rank + 1) * many)
            for number in closed:
                if rows.get(number) is not None:
                    after(t["tRAS"], "bank", ACTIVATE, number)
                    after(t["tRTP"], "bank", READ, number)
                    after(t["CWL"] + burst + t["tWR"], "bank", WRITE, number)
                rows[number] = None
        else:
            many = channel.part.bank_groups * channel.part.banks
            assert all(rows.get(rank * many + number) is None for number in range(many))
            after(t["tRP"], PRECHARGE_ALL, rank)
            for number in range(rank * many, (rank + 1) * many):
                after(t["tRP"], "bank", PRECHARGE, number)
                after(t["tRC"], "bank", ACTIVATE, number)
            refreshes.setdefault(rank, []).append(now)
        if kind == REFRESH:
            last["refresh", rank] = now
        elif kind == PRECHARGE_ALL:
            last[PRECHARGE_ALL, rank] = now
        else:
            for level, number in (("bank", bank), ("group", group), ("rank", rank)):
                last[level, kind, number] = now
    for times in refreshes.values():
        # Late by no more than it takes to close the banks.
        most = t["tRAS"] + t["CWL"] + burst + t["tWR"] + t["tRP"]
        for number, now in enumerate(times):
            due = times[0] + number * t["tREFI"]
            assert abs(now - due) <= most
