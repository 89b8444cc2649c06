"""How well a model predicts a text, compared with fp32 on the unquantised weights."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alula.codegen.plan import plan
from alula.design import Design
from alula.frontend import Checkpoint
from alula.progress import Progress, silent
from alula.quant import QuantizedModel
from alula.runtime.errors import PromptError, RunError
from alula.runtime.executor import Executor
from alula.runtime.reference import Reference

WINDOW = 512
"""Tokens of a window, unless another number is asked for."""
STAND_IN = "*=torch"
"""The map of a machine model's evaluation, unless another is asked for: bit for bit the same."""
_STEP = 64
"""Tokens that are looked at together, and that run together where the accelerator is modelled."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        perplexity: of the model as it was run.
        reference_perplexity: of fp32 on the same tokens, weights unquantised.
        reference: whose fp32 that is; see `Reference`.
        ratio: the first by the second.
        top1_agreement: share of the predictions where both put the same token first.
        tokens: tokens of text that were read.
        predictions: tokens that were predicted: all but the first of each window.
        window: tokens of a window; each starts anew at position 0.
        seconds: that the model took, the reference left out.
        reference_seconds: that the reference took.
    """

    perplexity: float
    reference_perplexity: float
    reference: str
    ratio: float
    top1_agreement: float
    tokens: int
    predictions: int
    window: int
    seconds: float
    reference_seconds: float


def comparable(reference: Checkpoint, model: Checkpoint) -> Checkpoint:
    """Return the reference if it has the model's vocabulary. RunError if it does not."""
    one, other = (checkpoint.architecture.vocab_size for checkpoint in (reference, model))
    if one != other:
        raise RunError(f"the reference must have the model's {other} tokens, not {one}")
    return reference


def check_design(checkpoint: Checkpoint, design: Design, context: int) -> None:
    """See that a design runs the model that torch runs in its stead.

    Raises:
        UnsupportedShape: no design can.
        DoesNotFit: this design cannot.
    """
    model = QuantizedModel(checkpoint)
    plan(model.architecture, design, context, model.precision)


def evaluate(
    executor: Executor,
    reference: Reference,
    ids: Sequence[int],
    context: int,
    progress: Progress = silent,
    *,
    window: int = WINDOW,
) -> Evaluation:
    """Return perplexities and agreement over a text, both on the same windows.

    Args:
        executor: the model as it is to be run.
        reference: the same model in fp32; see `reference_of`.
        ids: the text's tokens, at least two.
        context: most tokens of a sequence.
        progress: called with how many tokens are done.
        window: tokens of a window where the context allows as many.

    Raises:
        PromptError: the text is too short to predict anything.
    """
    window = min(context, window)
    windows = [ids[start : start + window] for start in range(0, len(ids), window)]
    windows = [part for part in windows if len(part) > 1]
    if not windows:
        raise PromptError(f"the text must be at least 2 tokens, not {len(ids)}")
    total = sum(len(part) for part in windows)
    surprise, reference_surprise, agreed, predictions, done = 0.0, 0.0, 0, 0, 0
    seconds = reference_seconds = 0.0
    for part in windows:
        start = time.perf_counter()
        expected = reference.logits(part).cpu().numpy()
        reference_seconds += time.perf_counter() - start
        at = 0
        start = time.perf_counter()
        for logits in _logits(executor, part):
            seconds += time.perf_counter() - start
            for first in range(0, len(logits), _STEP):
                some = logits[first : first + _STEP]
                targets = np.array(part[at + 1 : at + 1 + len(some)])
                ours, theirs = some[: len(targets)], expected[at : at + len(targets)]
                surprise += surprise_of(ours, targets)
                reference_surprise += surprise_of(theirs, targets)
                agreed += int((ours.argmax(axis=1) == theirs.argmax(axis=1)).sum())
                predictions += len(targets)
                at += len(some)
            progress("evaluating", done + at, total)
            start = time.perf_counter()
        done += len(part)
    perplexity = float(np.exp(surprise / predictions))
    reference_perplexity = float(np.exp(reference_surprise / predictions))
    return Evaluation(
        perplexity=perplexity,
        reference_perplexity=reference_perplexity,
        reference=reference.label,
        ratio=perplexity / reference_perplexity,
        top1_agreement=agreed / predictions,
        tokens=total,
        predictions=predictions,
        window=window,
        seconds=seconds,
        reference_seconds=reference_seconds,
    )


def _logits(executor: Executor, ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
    """Yield the logits of a new text's tokens: of all where no accelerator runs, else of some."""
    step = _STEP if executor.accelerated else len(ids)
    for start in range(0, len(ids), step):
        part = ids[start : start + step]
        output = executor.forward("prefill", part, start, rows=len(part), logits=True)
        assert output.logits is not None
        yield output.logits


def surprise_of(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    """Return the sum of -log p(target), in nats."""
    wide = logits.astype(np.float64)
    largest = wide.max(axis=1)
    log_total = largest + np.log(np.exp(wide - largest[:, None]).sum(axis=1))
    return float((log_total - wide[np.arange(len(targets)), targets]).sum())
