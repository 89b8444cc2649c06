"""What a plain sequential reader gets of kv260's memory, through its ports and through one."""

from typing import Any

from alula.design import Design, load_design
from alula.rtl.plain_reader import ReadingOrder, sequential_bytes, sequential_port_bytes
from benchmarks.report import report

CYCLES = 1_000_000
APART = 32 << 10
"""Bytes by which each port's part of the memory begins further on within its share."""


def one_port(design: Design) -> Design:
    """Return a design with one port as wide as a beat before each channel."""
    none = {"memory.switch": None, "memory.windows": [], "memory.address_bits": None}
    return design.replace({"memory.ports": 1} | none)


def measure(design: str = "kv260", cycles: int = CYCLES) -> dict[str, Any]:
    """Bytes a cycle: as one port as wide as a beat, and by the way through memory."""
    chosen = load_design(design)
    memory = chosen.memory
    found = {"one_port": sequential_bytes(one_port(chosen), cycles) / cycles}
    share = memory.channel_bytes // memory.ports
    parts = tuple(port * (share + APART) for port in range(memory.ports))
    for reading in ReadingOrder:
        bases = () if reading is ReadingOrder.DEALT else parts
        bytes_read = sequential_port_bytes(chosen, memory.axi, cycles, reading, bases)
        found[reading.name.lower()] = sum(bytes_read) / cycles
    return {"ports": memory.ports, "bytes_per_cycle": found}


if __name__ == "__main__":
    report(measure())
