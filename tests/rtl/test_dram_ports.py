"""Several AXI ports before one DRAM controller: whose turn it is, and what each port gets."""

import ctypes
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import cycle, islice
from pathlib import Path

import pytest
from tests.rtl.test_dram import Issued, check

from alula.design import load_design
from alula.design.memory_ports import ZYNQ_ULTRASCALE, MemoryPorts
from alula.rtl import dram, dram_ports
from alula.rtl.native import native_library

pytestmark = pytest.mark.smoke

KV260 = load_design("kv260")
QUARTER = 1 << 30
STAGGERED = tuple(port * (QUARTER + (32 << 10)) for port in range(4))
"""Quarters of the memory whose streams are in different banks at a time."""
NO_LIMIT = Fraction(10**15)
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
    ports = replace(ZYNQ_ULTRASCALE, controller_hz=NO_LIMIT)
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


def test_one_port_is_a_channel() -> None:
    """A single AXI port as wide as a beat gets what a channel's plain reader gets."""
    port = replace(ZYNQ_ULTRASCALE, controller=(0,), port_bytes=64, controller_hz=NO_LIMIT)
    (found,) = dram_ports.sequential_port_bytes(KV260, port, (0,), CYCLES, in_step=False)
    assert found == pytest.approx(dram.sequential_bytes(KV260, CYCLES), rel=2e-3)


def test_four_ports_of_a_slower_clock_give_what_was_measured() -> None:
    """15.93 to 16.01 GB/s were measured on a KV260 through 4 x 16 bytes x 250 MHz."""
    design = KV260.replace({"clock_mhz": 250})
    found = sum(
        dram_ports.sequential_port_bytes(design, ZYNQ_ULTRASCALE, STAGGERED, CYCLES, in_step=False)
    )
    assert 0.99 < found / (64 * CYCLES) <= 1


def test_the_shared_pair_is_slower_at_300_mhz() -> None:
    """It passes 8.53 GB/s where its two AXI ports could take 9.6; in step all wait for it."""
    alone = dram_ports.sequential_port_bytes(
        KV260, ZYNQ_ULTRASCALE, STAGGERED, CYCLES, in_step=False
    )
    most = Fraction(64 * 4, 9) * CYCLES + 64
    assert alone[1] == pytest.approx(alone[2], rel=1e-3)
    assert alone[1] + alone[2] <= most
    assert min(alone[0], alone[3]) > 1.1 * alone[1]
    step = dram_ports.sequential_port_bytes(KV260, ZYNQ_ULTRASCALE, STAGGERED, CYCLES, in_step=True)
    assert len(set(step)) == 1
    assert 0.9 * most < 2 * step[0] <= most


def test_streams_in_the_same_bank_are_slow() -> None:
    bases = tuple(port * QUARTER for port in range(4))
    same, staggered = (
        sum(dram_ports.sequential_port_bytes(KV260, ZYNQ_ULTRASCALE, at, CYCLES, in_step=True))
        for at in (bases, STAGGERED)
    )
    assert same < 0.95 * staggered


def test_windows_are_the_chip_s() -> None:
    place = ZYNQ_ULTRASCALE.place
    assert [place(offset) for offset in (0, (2 << 30) - 1, 2 << 30, (4 << 30) - 1)] == [
        0, 0x7FFF_FFFF, 0x8_0000_0000, 0x8_7FFF_FFFF,
    ]  # fmt: skip
    with pytest.raises(ValueError, match=f"must be less than {34 << 30}, the windows' end"):
        place(34 << 30)


def test_ports_are_checked() -> None:
    with pytest.raises(ValueError, match="ports must be 1 to 8, not 9"):
        replace(ZYNQ_ULTRASCALE, controller=(0,) * 9)
    with pytest.raises(ValueError, match="controller must count from 0 without a gap"):
        replace(ZYNQ_ULTRASCALE, controller=(0, 2))
    with pytest.raises(ValueError, match="bases must be 4 multiples of 64"):
        dram_ports.ports_config(KV260, ZYNQ_ULTRASCALE, (0, 1, 2, 3))
    several = load_design("u280")
    with pytest.raises(ValueError, match=f"channels must be 1 .*, not {several.channels}"):
        dram_ports.ports_config(several, ZYNQ_ULTRASCALE, STAGGERED)
