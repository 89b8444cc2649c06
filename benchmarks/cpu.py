"""What the CPU does: tokens a second beside transformers' generate, and what a session costs.

    python -m benchmarks.cpu MODEL [--threads 2] [--new 32]

The rates are of one run of this script, each the median of several answers. The overhead is what an
answer's tokens take in a session more than the same forward passes by hand, in turn.
"""

import argparse
import json
import statistics
import sys
import time
from typing import Any

from benchmarks.gpu import IDS, PROMPT, rates, session, transformers_generate

_TURNS = 5


def overhead(model: str, new: int) -> dict[str, float]:
    """Seconds of a token in a session and by hand: a worker's reference, called in a loop."""
    import torch

    from alula.quant import padded
    from alula.runtime.fixed_references import FixedFloat
    from alula.runtime.loading import open_model

    llm = session(model, "*=torch-fp32:cpu", 512)
    reference = FixedFloat(padded(open_model(model)), torch.device("cpu"), torch.float32, 512)
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
    def by_hand(ids: list[int]) -> float:
        token = step(ids, 0)
        start = time.perf_counter()
        for position in range(len(ids), len(ids) + new - 1):
            token = step([token], position)
        return (time.perf_counter() - start) / (new - 1)

    def in_session(ids: list[int]) -> float:
        return 1 / (llm.generate(ids, max_new_tokens=new).decode_tokens_per_s or 1.0)

    found: dict[str, list[float]] = {"session": [], "by hand": []}
    for turn in range(_TURNS + 1):
        ids = [turn + 50, *IDS[1:PROMPT]]
        for name, measure in (("session", in_session), ("by hand", by_hand)):
            seconds = measure(ids)
            if turn:
                found[name].append(seconds)
    one, other = (statistics.median(found[name]) for name in ("session", "by hand"))
    return {"session_s": one, "by_hand_s": other, "overhead": one / other - 1}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--new", type=int, default=32)
    given = parser.parse_args()
    import torch

    torch.set_num_threads(given.threads)
    found: dict[str, Any] = {"threads": given.threads, "torch": torch.__version__}
    found["overhead"] = overhead(given.model, given.new)
    ours = rates(session(given.model, "*=torch-fp32:cpu", 512), PROMPT, given.new)
    theirs = transformers_generate(given.model, "cpu", torch.float32, compiled=False, new=given.new)
    found |= {"alula": ours, "transformers": theirs}
    found["ratio"] = ours["decode_tokens_per_s"] / theirs["decode_tokens_per_s"]
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
