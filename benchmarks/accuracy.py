"""Perplexity and top-1 agreement of the accelerator against torch fp32, on Python's own prose."""

from dataclasses import asdict

from alula.frontend.float_reference import FloatReference
from alula.runtime import evaluation
from alula.runtime.loading import load_model, needed_tokenizer
from benchmarks.report import MODEL, report

TOKENS = 2560


def text() -> str:
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def measure() -> dict[str, object]:
    loaded = load_model(MODEL, "kv260", context=evaluation.WINDOW)
    ids = needed_tokenizer(loaded.checkpoint).encode(text(), special=False)[:TOKENS]
    reference = FloatReference(loaded.checkpoint)
    return asdict(evaluation.evaluate(loaded.executor, reference, ids, loaded.info.context))


if __name__ == "__main__":
    report(measure())
