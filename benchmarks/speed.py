"""Tokens a second of the machine model and of transformers fp32: one process, turns about."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from alula.runtime.loading import load_model
from alula.runtime.models import get
from benchmarks.report import MODEL, report

THREADS = 2
PROMPT = list(range(1000, 1064))
NEW = 16
REPEATS = 7

Run = Callable[[], tuple[float, float]]


def machine_model() -> Run:
    executor = load_model(MODEL, "kv260", context=256).executor

    def run() -> tuple[float, float]:
        start = time.perf_counter()
        token = executor.forward("prefill", PROMPT, 0).token
        middle = time.perf_counter()
        for step in range(NEW):
            assert token is not None
            token = executor.forward("decode", [token], len(PROMPT) + step).token
        return middle - start, time.perf_counter() - middle

    return run


def transformers_fp32_module() -> Any:
    """The file's own weights in transformers."""
    disable_progress_bar()
    file = get(MODEL)
    model: Any = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    return model.eval()


def transformers_fp32() -> Run:
    model = transformers_fp32_module()
    prompt = torch.tensor([PROMPT])

    @torch.inference_mode()
    def run() -> tuple[float, float]:
        start = time.perf_counter()
        output = model(prompt, use_cache=True, logits_to_keep=1)
        token = output.logits[:, -1:].argmax(-1)
        middle = time.perf_counter()
        for _ in range(NEW):
            output = model(token, past_key_values=output.past_key_values, use_cache=True)
            token = output.logits[:, -1:].argmax(-1)
        return middle - start, time.perf_counter() - middle

    return run


def measure() -> dict[str, object]:
    torch.set_num_threads(THREADS)
    runs = {"model": machine_model(), "transformers": transformers_fp32()}
    for run in runs.values():
        run()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(REPEATS):
        for name, run in runs.items():
            times[name].append(run())
    found: dict[str, object] = {"threads": THREADS, "repeats": REPEATS, "prompt": len(PROMPT)}
    for index, (phase, tokens) in enumerate((("prefill", len(PROMPT)), ("decode", NEW))):
        speeds = {
            name: tokens / statistics.median(run[index] for run in times[name]) for name in runs
        }
        found |= {f"{phase}_{name}_tokens_per_s": speed for name, speed in speeds.items()}
        found[f"{phase}_ratio"] = speeds["model"] / speeds["transformers"]
    return found


if __name__ == "__main__":
    report(measure())
