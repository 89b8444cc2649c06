"""One layer of LLaMA2-7B, a decoded token: Alula's cycle model beside ZigZag, in one run.

Both have the same multipliers and the same bandwidth. What is compared is seconds a point, and how
far a prediction is above what no machine of this size can beat.
"""

import contextlib
import io
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from alula.cost import predict
from alula.design import BLOCK, Design, load_design
from alula.ir.shapes import SHAPES
from benchmarks.report import report

DESIGN = {"cores": 2, "buffers.stream_kib": 1024}
"""Of a u280: a power of two of chains, which ZigZag's spatial mappings want."""
POSITION, POINTS, BITS = 511, 20, 4


def measure() -> dict[str, Any]:
    """Time both, and set their cycles over the bound."""
    design = load_design("u280").replace(DESIGN)
    ours, theirs = alula(design), zigzag(design)
    return {
        **{f"alula_{name}": value for name, value in ours.items()},
        **{f"zigzag_{name}": value for name, value in theirs.items()},
        "speed_ratio": theirs["seconds"] / ours["seconds"],
    }


def alula(design: Design) -> dict[str, float]:
    """A layer with its attention, norms and cache, designs that all differ."""
    shape = SHAPES["llama2-7b"]
    layer = {"layers": 1, "embed": False, "head": False, "context": POSITION + 1}

    def run(one: Design) -> Any:
        return predict(one, shape, "decode", 1, POSITION, **layer)

    start = time.perf_counter()
    run(design)
    first = time.perf_counter() - start
    others = [design.replace({"buffers.stream_kib": 1024 - 32 * n}) for n in range(1, POINTS + 1)]
    start = time.perf_counter()
    costs = [run(one) for one in others]
    seconds = (time.perf_counter() - start) / POINTS
    found = costs[0]
    over = found.cycles / found.bound
    return {"first_seconds": first, "seconds": seconds, "cycles": found.cycles, "over_bound": over}


def zigzag(design: Design) -> dict[str, float]:
    """The layer's seven products, which is what ZigZag knows of it."""
    from zigzag.api import get_hardware_performance_zigzag

    logging.disable(logging.INFO)
    products = SHAPES["llama2-7b"].projections
    with tempfile.TemporaryDirectory() as folder:
        accelerator, mapping = (
            Path(folder) / name for name in ("accelerator.yaml", "mapping.yaml")
        )
        accelerator.write_text(yaml.safe_dump(_accelerator(design), sort_keys=False))
        mapping.write_text(yaml.safe_dump(_mapping(design), sort_keys=False))
        layers = [_layer(place, *one) for place, one in enumerate(products.items())]
        before = os.getcwd()
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                start = time.perf_counter()
                found = get_hardware_performance_zigzag(
                    layers,
                    str(accelerator),
                    str(mapping),
                    opt="latency",
                    dump_folder="out",
                    loma_show_progress_bar=False,
                )
                seconds = time.perf_counter() - start
        finally:
            os.chdir(before)
    cycles = found[1]
    weights = sum(rows * columns for rows, columns in products.values())
    memory = weights * BITS / 8 / design.bytes_per_cycle
    compute = weights / (design.rows * BLOCK)
    return {"seconds": seconds, "cycles": cycles, "over_bound": cycles / max(memory, compute)}


def _layer(place: int, name: str, size: tuple[int, int]) -> dict[str, Any]:
    rows, columns = size
    return {
        "id": place,
        "name": name,
        "operator_type": "Gemm",
        "equation": "O[d][k]+=I[d][c]*W[c][k]",
        "dimension_relations": [],
        "loop_dims": ["D", "K", "C"],
        "loop_sizes": [1, rows, columns],
        "operand_precision": {"W": BITS, "I": 8, "O": 32, "O_final": 32},
        "operand_source": {"W": place, "I": place},
    }


def _accelerator(design: Design) -> dict[str, Any]:
    """Chains of multipliers, a register for each operand, a buffer for activations, the memory."""
    width = 8 * design.bytes_per_cycle
    wide = design.rows * BLOCK * 32

    def memory(size: int, operands: list[str], bits: int, served: list[str]) -> dict[str, Any]:
        ways = {"r": ("read", ("tl", "th")), "w": ("write", ("fh", "fl"))}
        ports = []
        for letter, (kind, directions) in ways.items():
            allocation = [f"{one}, {way}" for one in operands for way in directions]
            # Only sums go up to be written and come down again.
            allocation = [one for one in allocation if one[0] == "O" or one[-2:] in ("tl", "fh")]
            port = {"name": f"{letter}_port_1", "type": kind, "allocation": allocation}
            ports.append(port | {"bandwidth_min": 8, "bandwidth_max": bits})
        costs = {"r_cost": 1, "w_cost": 1, "area": 0, "latency": 1}
        return {
            "size": size,
            **costs,
            "operands": operands,
            "ports": ports,
            "served_dimensions": served,
        }

    return {
        "name": design.name,
        "memories": {
            "weight": memory(8, ["I2"], 8, []),
            "sum": memory(32, ["O"], 32, ["D2"]),
            "buffer": memory(1 << 26, ["I1", "O"], wide, ["D1", "D2"]),
            "dram": memory(1 << 38, ["I1", "I2", "O"], width, ["D1", "D2"]),
        },
        "operational_array": {
            "unit_energy": 1,
            "unit_area": 1,
            "dimensions": ["D1", "D2"],
            "sizes": [design.rows, BLOCK],
        },
    }


def _mapping(design: Design) -> list[dict[str, Any]]:
    spatial = {"D1": [f"K, {design.rows}"], "D2": [f"C, {BLOCK}"]}
    links = {"O": "O", "W": "I2", "I": "I1"}
    return [{"name": "default", "spatial_mapping": spatial, "memory_operand_links": links}]


if __name__ == "__main__":
    report(measure())
