"""The accelerator under cocotb: host and memory are cocotbext-axi's, in Python, every cycle."""

import logging
import os
from typing import Any

from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiRamRead, AxiReadBus

from alula.bench import Bench, Case, Unit
from alula.design import load_design
from alula.gateware.control.registers import Register
from alula.gateware.top.top import Top
from alula.isa import assemble, encode_all

DESIGN = load_design(os.environ.get("ALULA_BENCH_DESIGN", "kv260"))
CYCLES = 10_000
GROUPS, BLOCKS = 18, 64
CODE = encode_all(
    assemble(
        f"""LOOP count=100 body=4
            LD.W to=MV fmt=W4 addr=0 blocks={BLOCKS} groups={GROUPS}
            MV fmt=W4 src=0 groups={GROUPS} outputs={BLOCKS * DESIGN.rows} rows=1 dst=0 stride=0
            LD.V type=fp32 addr=0 dst=1000 count=256
            ADD dst=1200 a=1200 b=1400 rows=1 words=200
        END"""
    )
)
"""Weights stream through the MPE, and the SFU works; all of memory is zero."""


async def begin(dut: Any) -> None:
    """Write the program and start it; `dut` is out of its reset, and its clock runs."""
    host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "control_"), dut.clk, dut.rst)
    memory = AxiRamRead(AxiReadBus.from_prefix(dut, "read__0_"), dut.clk, dut.rst, size=1 << 20)
    parts: list[Any] = [host.write_if, host.read_if, memory]
    for part in parts:
        part.log.setLevel(logging.CRITICAL)
    for place in range(0, len(CODE), 4):
        word = int.from_bytes(CODE[place : place + 4], "little")
        await host.write_dword(int(Register.PROGRAM), word)
    await host.write_dword(int(Register.LENGTH), len(CODE) // 16)
    await host.write_dword(int(Register.CONTROL), 1)


async def start(unit: Unit) -> None:
    await begin(unit.dut)


async def run(unit: Unit) -> None:
    """Start, and let cycles pass."""
    await begin(unit.dut)
    await unit.cycles(CYCLES)


BENCH = Bench("percycle", lambda: Top(design=DESIGN), [Case("start", start), Case("run", run)])
"""Alula's build: the ports alone are public."""
