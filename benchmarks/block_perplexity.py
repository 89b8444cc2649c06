"""Attention to some blocks: perplexity of the float model, against dense attention.

    python -m benchmarks.block_perplexity [--windows 6]

Windows of Python's own prose, as long as the context of `benchmarks.blocks`, and its blocks.
Nothing is quantised, and no weight was trained for the blocks.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alula.frontend import Checkpoint
from alula.frontend.float_reference import FloatReference
from alula.ir import AttentionBlocks
from alula.runtime.evaluation import surprise_of
from alula.runtime.loading import needed_tokenizer, open_model
from benchmarks.accuracy import text
from benchmarks.blocks import CONTEXT, LOCAL, SINKS, STRIDE
from benchmarks.report import MODEL, progress_shown, report

_ROWS = 256
"""Rows of logits that are made at a time."""


@dataclass(frozen=True)
class Loss:
    """Nats of the predictions of all positions, and of those in the second half of windows."""

    all: float
    late: float

    def ratios(self, dense: "Loss", windows: int) -> dict[str, float]:
        """Perplexity over that of dense attention."""
        late = windows * (CONTEXT - CONTEXT // 2)
        return {
            "ratio": math.exp((self.all - dense.all) / (windows * (CONTEXT - 1))),
            "late_ratio": math.exp((self.late - dense.late) / late),
        }


@torch.inference_mode()
def loss(checkpoint: Checkpoint, windows: Tensor, progress: Callable[[int, int], None]) -> Loss:
    """Run the float model on each window as a whole."""
    reference = FloatReference(checkpoint)
    total = late = 0.0
    for done, ids in enumerate(windows):
        progress(done, len(windows))
        hidden = reference.hidden(ids)[:-1]
        for start in range(0, len(hidden), _ROWS):
            logits = reference.head(hidden[start : start + _ROWS]).numpy()
            goals = ids[start + 1 : start + 1 + len(logits)].numpy()
            total += surprise_of(logits, goals)
            # Row r predicts position r + 1: position CONTEXT // 2 is the first late one.
            first = max(0, CONTEXT // 2 - 1 - start)
            if first < len(goals):
                late += surprise_of(logits[first:], np.asarray(goals[first:]))
    return Loss(total, late)


def measure(windows: int) -> dict[str, Any]:
    checkpoint = open_model(MODEL)
    ids = needed_tokenizer(checkpoint).encode(text(), special=False)[: windows * CONTEXT]
    texts = torch.tensor(ids).view(windows, CONTEXT)
    blocks = AttentionBlocks.spread(
        checkpoint.architecture.kv_heads, local=LOCAL, sinks=SINKS, stride=STRIDE
    )
    with progress_shown() as progress:
        dense, ours = (
            loss(one, texts, partial(progress, name))
            for name, one in (("dense", checkpoint), ("blocks", checkpoint.blocked(blocks)))
        )
    return {
        "context": CONTEXT,
        "tokens": texts.numel(),
        "share_of_blocks": blocks.share(CONTEXT),
        "dense_perplexity": math.exp(dense.all / (windows * (CONTEXT - 1))),
        **ours.ratios(dense, windows),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=6)
    report(measure(parser.parse_args().windows))
