"""How near decode in RTL comes to a plain sequential reader of the same DRAM, by context."""

from typing import Any

from alula.runtime.loading import load_model
from alula.runtime.runs import rtl_report
from benchmarks.report import MODEL, progress_shown, report

CONTEXTS = (128, 512)


def measure(
    model: str = MODEL, design: str = "kv260", contexts: tuple[int, ...] = CONTEXTS
) -> dict[str, Any]:
    """Decode the last token of each context; the tokens before it run on torch."""
    found: dict[str, Any] = {"matches_model": True}
    split = "prefill:*=torch,*=accel"
    with progress_shown() as progress:
        loaded = load_model(model, design, "rtl", split, context=max(contexts), progress=progress)
        for context in contexts:
            ids = [(7 * index + 1000) % loaded.info.vocab_size for index in range(context)]
            loaded.executor.forward("prefill", ids[:-1], 0)
            loaded.executor.forward("decode", ids[-1:], context - 1)
            told = rtl_report(loaded.runs[-1:], loaded.design)
            for name in ("stream_efficiency", "dram_efficiency", "cycles_per_token"):
                found[f"{name}_{context}"] = told[name]
    return found


if __name__ == "__main__":
    report(measure())
