"""Attention to some blocks: RTL cycles of a layer of SmolLM2-135M against dense attention.

What attention costs is the cycles that a longer context adds, for each position that it adds to a
query's.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from alula.codegen import Build, compile_model
from alula.design import load_design
from alula.ir import Architecture, AttentionBlocks
from alula.ir.attention_blocks import BLOCK
from alula.ir.shapes import SHAPES, RandomCheckpoint
from alula.isa import RegionName, RunInputs
from alula.quant import QuantizedModel
from alula.rtl.checked import CheckedDevice
from benchmarks.report import progress_shown, report

CONTEXT = 2048
LOCAL, SINKS, STRIDE = 4, 1, 6
"""Blocks of a query's window, the first ones, and one out of so many of those between."""
VOCABULARY = 2048
"""The head does not run; a short one is made faster."""
PREFILL = 16


def attended(shape: Architecture, position: int) -> float:
    """Positions that a query attends to, mean over its KV heads."""
    if shape.blocks is None:
        return position + 1
    heads = range(shape.kv_heads)
    return sum(shape.blocks.attended(head, position) for head in heads) / shape.kv_heads


def cycles(device: CheckedDevice, build: Build, tokens: int, position: int) -> int:
    """A layer's, in RTL; memory is compared with the machine model's."""
    ids = np.arange(1, 1 + tokens, dtype=np.uint32)
    device.write(build.image.regions[RegionName.IDS].start, ids)
    inputs = RunInputs(position=position, tokens=tokens, layers=1, head_rows=0)
    program = build.decode if tokens == 1 else build.prefill
    return device.run(program, inputs.registers()).outcome.cycles


def measure(
    design: str = "kv260", local: int = LOCAL, sinks: int = SINKS, stride: int = STRIDE
) -> dict[str, Any]:
    """Decode the last token of the context, and prefill its last chunk."""
    chosen = load_design(design)
    shape = replace(SHAPES["smollm2-135m"], layers=1, vocab_size=VOCABULARY)
    blocks = AttentionBlocks.spread(shape.kv_heads, local=local, sinks=sinks, stride=stride)
    found: dict[str, Any] = {"share_of_blocks": blocks.share(CONTEXT)}
    added: dict[tuple[str, str], float] = {}
    with progress_shown() as progress:
        device = CheckedDevice(chosen, progress=progress)
        try:
            for name, one in (("dense", shape), ("blocks", replace(shape, blocks=blocks))):
                build = compile_model(QuantizedModel(RandomCheckpoint(one)), chosen, CONTEXT)
                device.load(build.image)
                found[f"{name}_kv_bytes"] = build.kv.beats * chosen.bytes_per_cycle
                # The first run of a block attends to one that is not used, as no block is kept yet.
                short = (local + 2) * BLOCK
                for phase, tokens in (("decode", 1), ("prefill", PREFILL)):
                    ends = [cycles(device, build, tokens, end - tokens) for end in (short, CONTEXT)]
                    more = attended(one, CONTEXT - 1) - attended(one, short - 1)
                    found[f"{name}_{phase}_cycles"] = ends[1]
                    added[name, phase] = (ends[1] - ends[0]) / more
        finally:
            device.close()
    for phase in ("decode", "prefill"):
        found[f"{phase}_per_position"] = added["blocks", phase] / added["dense", phase]
    return found | {"matches_model": True}


if __name__ == "__main__":
    report(measure())
