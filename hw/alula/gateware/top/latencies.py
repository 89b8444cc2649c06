"""What the contract's formulas of cycles are about, as numbers of a design's gateware."""

from alula.design import Design, load_design
from alula.design.shipped import shipped_designs
from alula.gateware.control import sequencer
from alula.gateware.control.command import PORTS
from alula.gateware.matrix import engine as mpe
from alula.gateware.memory import load, store
from alula.gateware.sfu import engine as sfu
from alula.gateware.sfu import max as maximum
from alula.gateware.sfu import pack, scalar, sum, units, writer
from alula.gateware.sfu.scalar import Scalar
from alula.gateware.top import core
from alula.isa.cycles import LATENCIES


def latencies(design: Design) -> dict[str, int]:
    """Return each of `alula.isa.cycles.LATENCIES`, in cycles."""
    width = design.sfu.lanes
    return {
        "ADD": units.ADD,
        "MULTIPLY": units.MULTIPLY,
        "FUNCTION": units.FUNCTION,
        "ROOT": units.ROOT,
        "NORM": scalar.LATENCY[Scalar.NORM],
        "KV": scalar.LATENCY[Scalar.KV],
        "MISC": core.WAKE + sfu.INSTRUCTION,
        "MISC_IDLE": core.WAKE + sfu.IDLE,
        "PASS": sfu.PASS,
        "OPERAND": sfu.OPERAND,
        "RESULT": units.RESULT,
        "ROTATE": sfu.ROTATE,
        "WRITE": writer.LATENCY,
        "PACK": pack.LATENCY,
        "SUM": sum.latency(width),
        "MAX": maximum.latency(width),
        "TURN": sfu.TURN,
        "ROW": sfu.ROW,
        "PRODUCT": mpe.INSTRUCTION,
        "MPE": mpe.latency(sparse=design.mpe.sparse),
        "MPE_IDLE": mpe.IDLE,
        "LOAD": load.INSTRUCTION,
        "LOAD_IDLE": load.IDLE,
        "STORE": store.INSTRUCTION,
        "STORE_IDLE": store.IDLE,
        "RUN": store.RUN,
        "EXECUTE": sequencer.CYCLES["operands"] + sequencer.CYCLES["execute"],
        "REGISTER": sequencer.CYCLES["write"],
        "TIMES": sequencer.CYCLES["multiply"],
        "DIVIDE": sequencer.CYCLES["divide"],
        "REDIRECT": sequencer.CYCLES["redirect"],
    }


def sizes(design: Design) -> dict[str, int]:
    """Return those of `alula.isa.cycles.SIZES` that a design decides."""
    return {
        "L": design.sfu.lanes,
        "T": design.mpe.tokens,
        "R": design.rows,
        "F": design.output_width * design.cores,
        "B": design.bytes_per_cycle,
        "PORTS": PORTS,
    }


def table_text() -> str:
    """Return the latencies of the shipped designs as a Markdown table."""
    designs = {name: load_design(path) for name, path in shipped_designs().items()}
    numbers = [latencies(design) for design in designs.values()]
    lines = [
        f"| latency | {' | '.join(designs)} | cycles of |",
        "|---|" + "--:|" * len(designs) + "---|",
    ]
    for name, meaning in LATENCIES.items():
        cells = " | ".join(str(one[name]) for one in numbers)
        lines.append(f"| `{name}` | {cells} | {meaning} |")
    return "\n".join(lines) + "\n"
