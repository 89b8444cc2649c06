"""What the CPU does: tokens a second beside transformers' generate, and what a session costs.

    python -m benchmarks.cpu MODEL [--threads 1] [--new 32] [--turns 7] [--out FILE]

What is compared is measured in turn, and each number is the median of what neighbours in time
gave: another's load on the machine comes and goes for both. Times are of wall clock. The overhead
is what an answer's tokens take in a session more than the same forward passes by hand.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from benchmarks.gpu import IDS, PROMPT, session, transformers_model

_CONTEXT = 512
Measure = Callable[[list[int]], float]
"""Seconds of a decoded token behind a prompt."""


def in_session(llm: Any, new: int) -> Measure:
    """Return what measures an answer of a session."""

    def measure(ids: list[int]) -> float:
        return 1 / (llm.generate(ids, max_new_tokens=new).decode_tokens_per_s or 1.0)

    return measure


def by_hand(model: str, new: int) -> Measure:
    """Return what measures the forward passes of a worker's reference, called in a loop."""
    import torch

    from alula.quant import padded
    from alula.runtime.fixed_references import FixedFloat
    from alula.runtime.loading import open_model

    reference = FixedFloat(padded(open_model(model)), torch.device("cpu"), torch.float32, _CONTEXT)
    caches = reference.fixed_caches()

    def step(ids: list[int], position: int) -> int:
        positions = torch.arange(position, position + len(ids))
        hidden = reference.embed(torch.tensor(ids), positions)
        turn = reference.turn(positions)
        for index, cache in enumerate(caches):
            cache.begin(positions, position + len(ids))
            hidden = reference.run_layer(reference.unit(f"layers.{index}"), hidden, turn, cache)
        return int(reference.head(hidden[-1:])[0].argmax())

    @torch.inference_mode()
    def measure(ids: list[int]) -> float:
        token = step(ids, 0)
        start = time.perf_counter()
        for position in range(len(ids), len(ids) + new - 1):
            token = step([token], position)
        return (time.perf_counter() - start) / (new - 1)

    return measure


def of_transformers(model: str, new: int) -> Measure:
    """Return what measures transformers' own generate, without its prompt."""
    import torch

    run = transformers_model(model, "cpu", torch.float32, compiled=False)
    return lambda ids: (run(new) - run(1)) / (new - 1)


def in_turn(measures: dict[str, Measure], turns: int) -> dict[str, list[float]]:
    """Return what each measures in each turn, after one that does not count."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for turn in range(turns + 1):
        ids = [turn + 50, *IDS[1:PROMPT]]
        for name, measure in measures.items():
            seconds = measure(ids)
            if turn:
                found[name].append(seconds)
    return found


def middle_ratio(one: list[float], other: list[float]) -> float:
    """Return the median of the ratios of what was measured in the same turn."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--new", type=int, default=32)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--out")
    given = parser.parse_args()
    import torch
    import transformers

    torch.set_num_threads(given.threads)
    measures = {
        "session": in_session(session(given.model, "*=torch-fp32:cpu", _CONTEXT), given.new),
        "by_hand": by_hand(given.model, given.new),
        "transformers": of_transformers(given.model, given.new),
    }
    found = in_turn(measures, given.turns)
    told = {
        "command": f"python -m benchmarks.cpu {given.model} --threads {given.threads}"
        f" --new {given.new} --turns {given.turns}",
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "prompt": PROMPT,
        "tokens_per_s": {name: 1 / statistics.median(times) for name, times in found.items()},
        "ratio": middle_ratio(found["transformers"], found["session"]),
        "overhead": middle_ratio(found["session"], found["by_hand"]) - 1,
        "seconds_a_token": found,
    }
    text = json.dumps(told, indent=1) + "\n"
    print(text, end="")
    if given.out:
        with open(given.out, "w", encoding="utf-8") as file:
            file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
