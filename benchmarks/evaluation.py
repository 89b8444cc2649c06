"""Speed of `alula eval` beside transformers fp32: the same windows of a text, turns about.

    python -m benchmarks.evaluation [--threads 1] [--windows 5]

Both give the logits of a whole window at once. A ratio is that of one window, which both read one
right after the other; the median counts. Time is the processor's, so that others on the machine
do not count; of several threads it has what they wait for each other, too.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from alula.runtime.evaluation import WINDOW
from alula.runtime.loading import load_model, needed_tokenizer
from benchmarks.accuracy import text
from benchmarks.report import MODEL, report
from benchmarks.speed import transformers_fp32_module


def seconds(run: Callable[[], object]) -> float:
    """Processor seconds of all threads."""
    start = time.process_time()
    run()
    return time.process_time() - start


@torch.inference_mode()
def measure(threads: int, windows: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    loaded = load_model(MODEL, "kv260", map="*=torch", context=WINDOW)
    ids = needed_tokenizer(loaded.checkpoint).encode(text(), special=False)
    module = transformers_fp32_module()
    forward = partial(loaded.executor.forward, "prefill", position=0)
    found: list[tuple[float, float]] = []
    for start in range(0, WINDOW * (windows + 1), WINDOW):
        part = ids[start : start + WINDOW]
        ours = seconds(lambda part=part: forward(part, rows=WINDOW, logits=True))
        theirs = seconds(lambda part=part: module(torch.tensor([part]), use_cache=False))
        found.append((ours, theirs))
    kept = found[1:]  # the first window warms both up
    return {
        "threads": threads,
        "window": WINDOW,
        "windows": windows,
        "tokens_per_s": WINDOW / statistics.median(ours for ours, _ in kept),
        "transformers_tokens_per_s": WINDOW / statistics.median(theirs for _, theirs in kept),
        "ratio": statistics.median(theirs / ours for ours, theirs in kept),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--windows", type=int, default=5)
    words = parser.parse_args()
    report(measure(words.threads, words.windows))
