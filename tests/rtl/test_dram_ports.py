"""Several AXI ports before one DRAM controller: whose turn it is, and what each port gets."""

import ctypes
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
from benchmarks.ports import one_port
from tests.rtl.test_dram import Issued, check

from alula.design import Design, load_design
from alula.design.memory_ports import ZYNQ_ULTRASCALE, MemoryPorts
from alula.rtl import dram, dram_ports
from alula.rtl.native import native_library
from alula.rtl.plain_reader import ReadingOrder, sequential_bytes, sequential_port_bytes

pytestmark = pytest.mark.smoke

KV260 = load_design("kv260")
PLAIN = one_port(KV260)
"""The same memory behind one port as wide as a beat."""
QUARTER = 1 << 30
STAGGERED = tuple(port * (QUARTER + (32 << 10)) for port in range(4))
"""Quarters of the memory whose streams are in different banks at a time."""
CYCLES = 50_000


class Passed(ctypes.Structure):
    _fields_ = [
        ("cycle", ctypes.c_uint64),
        ("access", ctypes.c_uint64),
        ("port", ctypes.c_uint32),
        ("write", ctypes.c_uint32),
    ]


@cache
def library() -> ctypes.CDLL:
    folder = Path(dram_ports.__file__).parent
    texts = {name: (folder / name).read_text() for name in dram_ports.HEADERS}
    here = Path(__file__).with_name("dram_ports.cpp")
    found = ctypes.CDLL(native_library(texts | {here.name: here.read_text()}))
    found.passed.restype = ctypes.c_uint64
    return found


def passed(
    ports: MemoryPorts, bases: tuple[int, ...], cycles: int, writes: int = 0
) -> tuple[list[Passed], list[Issued]]:
    """What is handed to the controller, and its commands, while every port asks for all it can."""
    room = 16 * cycles
    log, issued, commands = (Passed * room)(), (Issued * room)(), ctypes.c_uint64()
    many = library().passed(
        ctypes.byref(dram.dram_config(KV260)),
        ctypes.byref(dram_ports.ports_config(KV260, ports, bases)),
        ctypes.c_uint32(writes),
        ctypes.c_uint64(cycles),
        log,
        ctypes.c_uint64(room),
        issued,
        ctypes.byref(commands),
    )
    assert 0 < many <= room
    assert commands.value <= room
    return list(log[:many]), list(issued[: commands.value])


def test_who_waits_takes_turns() -> None:
    """Ports of the controller among each other, and AXI ports that share one of them."""
    ports = replace(ZYNQ_ULTRASCALE, controller_hz=None)
    log, _ = passed(ports, STAGGERED, 5000)
    turns = islice(cycle([0, 1, 3, 0, 2, 3]), len(log))
    assert [one.port for one in log] == list(turns)
    for port, base in enumerate(STAGGERED):
        found = [one.access for one in log if one.port == port]
        assert found == list(range(base // 64, base // 64 + len(found)))


def test_a_port_of_the_controller_passes_an_access_in_its_clocks() -> None:
    """16 bytes at 533 MHz: 64 bytes in 9 of the 1,200 MHz, and 4 of these are a cycle."""
    pair = replace(ZYNQ_ULTRASCALE, controller=(0, 0))
    log, _ = passed(pair, STAGGERED[:2], 90)
    assert [one.port for one in log] == [number % 2 for number in range(len(log))]
    first = log[0].cycle
    assert [one.cycle - first for one in log] == [-(-9 * n // 4) for n in range(len(log))]


@pytest.mark.parametrize("writes", [0, 5, 16])
def test_no_command_comes_too_soon(writes: int) -> None:
    log, issued = passed(ZYNQ_ULTRASCALE, STAGGERED, 20_000, writes)
    assert {one.write for one in log} == {0: {0}, 5: {0, 1}, 16: {1}}[writes]
    assert {one.port for one in log} == {0, 1, 2, 3}
    check(KV260, issued)


def read(
    design: Design,
    reading: ReadingOrder,
    bases: tuple[int, ...] = STAGGERED,
    ports: Any = ZYNQ_ULTRASCALE,
) -> list[int]:
    return sequential_port_bytes(design, ports, CYCLES, reading, bases)


def test_one_port_is_a_channel() -> None:
    """A single AXI port as wide as a beat gets what a channel's plain reader gets."""
    port = replace(ZYNQ_ULTRASCALE, controller=(0,), port_bytes=64, controller_hz=None)
    for reading in ReadingOrder:
        (found,) = read(KV260, reading, (0,), port)
        assert found == pytest.approx(sequential_bytes(PLAIN, CYCLES), rel=4e-3), reading


def test_four_ports_of_a_slower_clock_give_what_was_measured() -> None:
    """15.93 to 16.01 GB/s were measured on a KV260 through 4 x 16 bytes x 250 MHz."""
    design = KV260.replace({"clock_mhz": 250})
    for reading in (ReadingOrder.APART, ReadingOrder.DEALT):
        assert 0.99 < sum(read(design, reading)) / (64 * CYCLES) <= 1


def test_the_shared_pair_is_slower_at_300_mhz() -> None:
    """It passes 8.53 GB/s where its two AXI ports could take 9.6; in step all wait for it."""
    alone = read(KV260, ReadingOrder.APART)
    most = Fraction(64 * 4, 9) * CYCLES + 64
    assert alone[1] == pytest.approx(alone[2], rel=1e-3)
    assert alone[1] + alone[2] <= most
    assert min(alone[0], alone[3]) > 1.1 * alone[1]
    step = read(KV260, ReadingOrder.IN_STEP)
    assert len(set(step)) == 1
    assert 0.9 * most < 2 * step[0] <= most
    # Where who is faster reads more, no port waits for another.
    dealt = read(KV260, ReadingOrder.DEALT, ())
    assert min(dealt[0], dealt[3]) > 1.1 * dealt[1]
    assert sum(dealt) > max(sum(alone) * 0.995, sum(step) * 1.05)
    assert sequential_bytes(KV260, CYCLES) == sum(dealt)


def test_what_ports_move_at_most() -> None:
    """As a formula: 32 bytes through HP0 and HP3, and through the pair what its way passes."""
    rate = ZYNQ_ULTRASCALE.bytes_per_cycle
    assert rate(300_000_000) == 32 + Fraction(256, 9)
    assert rate(250_000_000) == 64
    assert rate(300_000_000, Fraction(9, 10)) == 32 + Fraction(256, 10)
    assert PLAIN.memory.axi.bytes_per_cycle(PLAIN.clock_hz) == 64
    refreshing = Fraction(*(KV260.memory.channel.timings[name] for name in ("tRFC", "tREFI")))
    most = float(rate(KV260.clock_hz, 1 - refreshing))
    assert 0.98 * most < sequential_bytes(KV260, CYCLES) / CYCLES < most


def test_streams_in_the_same_bank_are_slow() -> None:
    bases = tuple(port * QUARTER for port in range(4))
    same, staggered = (sum(read(KV260, ReadingOrder.IN_STEP, at)) for at in (bases, STAGGERED))
    assert same < 0.95 * staggered


def test_ports_are_checked() -> None:
    with pytest.raises(ValueError, match="ports must be 1 to 8, not 9"):
        replace(ZYNQ_ULTRASCALE, controller=(0,) * 9)
    with pytest.raises(ValueError, match="controller must count from 0 without a gap"):
        replace(ZYNQ_ULTRASCALE, controller=(0, 2))
    with pytest.raises(ValueError, match="bases must be 4 multiples of 64"):
        dram_ports.ports_config(KV260, ZYNQ_ULTRASCALE, (0, 1, 2, 3))
