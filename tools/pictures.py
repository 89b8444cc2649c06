"""Pictures of the documentation, drawn from the designs and the number formats: SVG as text."""

import io
from collections.abc import Iterable
from typing import Any

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from alula.design import BLOCK, GROUP, Design, load_design
from alula.isa.formats import DENSE, WEIGHT_FORMATS

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "alula",
    "font.family": "sans-serif",
    "font.size": 9,
}
COLOURS = {
    "memory": "#dbe7f5",
    "engine": "#fbe3c8",
    "buffer": "#dff0d8",
    "control": "#ece3f4",
}


class Drawing:
    """Boxes and arrows on a sheet, in inches."""

    def __init__(self, width: float, height: float) -> None:
        self.figure, self.axes = pyplot.subplots(figsize=(width, height))
        self.axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
        self.axes.axis("off")
        self.figure.subplots_adjust(0, 0, 1, 1)

    def box(self, kind: str, x: float, y: float, width: float, height: float, *lines: str) -> None:
        """A box with its lower left corner at (x, y); its first line is its name."""
        self.axes.add_patch(
            FancyBboxPatch(
                (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.08",
                facecolor=COLOURS[kind], edgecolor="#444444", linewidth=0.9,
            )
        )  # fmt: skip
        step, middle = 0.19, y + height / 2
        top = middle + step * (len(lines) - 1) / 2
        for number, line in enumerate(lines):
            self.axes.text(
                x + width / 2, top - step * number, line, ha="center", va="center",
                weight="bold" if number == 0 else "normal", size=9.5 if number == 0 else 8,
            )  # fmt: skip

    def arrow(self, start: tuple[float, float], end: tuple[float, float], label: str = "") -> None:
        """An arrow, with a label over its middle."""
        self.axes.add_patch(
            FancyArrowPatch(
                start,
                end,
                arrowstyle="-|>",
                mutation_scale=9,
                color="#444444",
                shrinkA=0,
                shrinkB=0,
            )
        )
        if label:
            x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
            flat = abs(start[1] - end[1]) < abs(start[0] - end[0])
            self.axes.text(
                x if flat else x + 0.07, y + 0.09 if flat else y, label, size=7.5,
                ha="center" if flat else "left", va="center",
            )  # fmt: skip

    def text(self) -> str:
        """The SVG."""
        held = io.StringIO()
        with matplotlib.rc_context(STYLE):
            self.figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
        pyplot.close(self.figure)
        return "\n".join(line.rstrip() for line in held.getvalue().splitlines()) + "\n"


def machine() -> str:
    """The machine in one picture, with kv260's sizes."""
    with matplotlib.rc_context(STYLE):
        return _machine(load_design("kv260"))


def _machine(design: Design) -> str:
    kib, mpe = design.buffers, design.mpe
    draw = Drawing(9.6, 5.2)
    draw.box(
        "memory", 0.1, 0.3, 1.5, 4.6, "memory", f"{design.memory.kind.upper()}",
        f"{design.channels} channel" + "s" * (design.channels > 1),
        f"{design.bytes_per_cycle} bytes a cycle", f"{design.bytes_per_second / 1e9:.1f} GB/s", "",
        "weights", "KV cache", "program data",
    )  # fmt: skip
    draw.box(
        "control", 2.3, 4.2, 7.1, 0.7, "sequencer (SYS)",
        f"{kib.program_kib} KiB of program, 32 registers, loops, tokens; a queue for each engine",
    )  # fmt: skip
    draw.box("engine", 2.3, 2.75, 0.9, 0.9, "LD", "load")
    draw.box("engine", 2.3, 0.5, 0.9, 0.9, "ST", "store")
    draw.box("buffer", 3.9, 2.75, 1.5, 0.9, "weight stream", "FIFO", f"{kib.stream_kib} KiB")
    draw.box(
        "engine", 6.1, 2.6, 1.75, 1.2, "MPE (MM, MV)",
        f"{design.chains_per_core} chains x {BLOCK}", f"x {mpe.tokens} rows of activations",
        f"{design.macs_per_cycle} MACs a cycle",
    )  # fmt: skip
    draw.box("buffer", 8.2, 2.6, 1.3, 1.2, "activations", "A8, int8", f"{kib.activation_kib} KiB")
    draw.box("buffer", 5.2, 1.25, 1.6, 0.9, "vector buffer", "fp32", f"{kib.vector_kib} KiB")
    draw.box(
        "engine", 7.6, 0.9, 1.8, 1.1, "SFU (MISC)", f"{design.sfu.lanes} fp32 lanes",
        "norm, softmax, rope,", "activation, quantise",
    )  # fmt: skip
    draw.box("buffer", 4.0, 0.1, 1.6, 0.7, "staging", f"new K, V: {kib.staging_kib} KiB")
    draw.arrow((1.6, 3.2), (2.3, 3.2))
    draw.arrow((3.2, 3.2), (3.9, 3.2), "beats")
    draw.arrow((5.4, 3.2), (6.1, 3.2), "blocks")
    draw.arrow((8.2, 3.2), (7.85, 3.2))
    draw.arrow((6.6, 2.6), (6.3, 2.15), " fp32 results")
    draw.arrow((3.1, 2.75), (5.2, 1.9), "")
    draw.axes.text(3.55, 2.18, "vectors", size=7.5, ha="center")
    draw.arrow((6.8, 1.7), (7.6, 1.7))
    draw.arrow((7.6, 1.4), (6.8, 1.4))
    draw.arrow((8.85, 2.0), (8.85, 2.6), "QUANT")
    draw.arrow((7.6, 1.0), (5.6, 0.45), "")
    draw.axes.text(6.95, 0.6, "QUANTKV", size=7.5, ha="center")
    draw.arrow((5.2, 1.4), (3.2, 1.15), "")
    draw.arrow((4.0, 0.55), (3.2, 0.75), "")
    draw.arrow((2.3, 0.95), (1.6, 0.95))
    return draw.text()


def weight() -> str:
    """The life of a W4 weight: what it is at each step, and how many bits it has there."""
    with matplotlib.rc_context(STYLE):
        return _weight(load_design("kv260"))


def _weight(design: Design) -> str:
    fmt = WEIGHT_FORMATS["W4", DENSE.name]
    groups = 18
    bits = 8 * fmt.beats(4, groups) * design.bytes_per_cycle / (4 * design.rows * groups * GROUP)
    steps: Iterable[tuple[str, tuple[str, ...]]] = (
        ("memory", ("model file", "Q4_1, BF16, ...")),
        ("control", ("quantiser", f"q: {fmt.bits} bits", "s, m: a group", "c: a row")),
        ("memory", ("memory image", f"{bits:.2f} bits a weight", "in reading order")),
        ("buffer", ("weight stream", f"{design.bytes_per_cycle} bytes", "a cycle")),
        ("engine", ("dequantiser", "q - 8", "8 bits")),
        ("engine", ("DSP chain", "16 products", "dot: 20 bits")),
        ("engine", ("accumulator", "s dot + 4 m sum", f"{design.mpe.accumulator_bits} bits")),
        ("engine", ("output stage", "x c, x 2^E", "fp32")),
        ("buffer", ("vector buffer", "fp32")),
    )
    width, gap = 1.34, 0.24
    draw = Drawing(9 * (width + gap), 1.3)
    for number, (kind, lines) in enumerate(steps):
        x = number * (width + gap) + gap / 2
        draw.box(kind, x, 0.15, width, 1.0, *lines)
        if number:
            draw.arrow((x - gap, 0.65), (x, 0.65))
    return draw.text()
