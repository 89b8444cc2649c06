"""The tokens that a compression reads: to choose integers on, to measure a budget on, to test."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alula.compress.recipe import FormatBudget
from alula.compress.samples import sampled
from alula.frontend import Checkpoint
from alula.progress import Progress
from alula.runtime import evaluation
from alula.runtime.compression_request import CompressionRequest
from alula.runtime.errors import PromptError, RunError
from alula.runtime.texts import draw_windows, text_of
from alula.runtime.tokenizer import BoundedTokenizer
from alula.runtime.torch_units import torch_device


@dataclass(frozen=True)
class Texts:
    """Token ids; no two parts share a window.

    Attributes:
        calibration: windows to choose integers on, none if nothing needs them.
        apart: windows of the same texts to measure a budget on, none if there is no budget.
        tested: to test on.
    """

    calibration: list[list[int]]
    apart: list[list[int]]
    tested: list[int]


def first_tokens(windows: Sequence[Sequence[int]], tokens: int) -> list[list[int]]:
    """Return the first of some windows, of so many tokens together."""
    length = min(len(windows[0]), tokens)
    return [list(ids[:length]) for ids in windows[: _count(tokens, length)]]


def texts_of(
    request: CompressionRequest,
    checkpoint: Checkpoint,
    tokenizer: BoundedTokenizer,
    progress: Progress,
) -> Texts:
    """Return what a recipe reads, and what is held out of it or given to test on.

    Raises:
        RunError: no text is given.
        PromptError: a text is too short.
        OSError: a text cannot be read.
    """
    recipe, wanted = request.recipe, request.recipe.calibration
    context = checkpoint.architecture.max_context
    window, test_window = min(wanted.window, context), min(evaluation.WINDOW, context)
    count = _count(wanted.tokens, window) if recipe.needs_text else 0
    apart = 0 if recipe.budget is None else _apart(recipe.budget, window)
    held_out = 0 if request.test else _count(request.test_tokens, test_window)
    chosen: list[list[int]] = []
    if wanted.samples and count:
        chosen = sampled(
            checkpoint,
            windows=count + apart,
            tokens=window,
            seed=wanted.seed,
            device=torch_device(request.torch_device),
            progress=progress,
        )
    others = []
    if (drawn := count + apart - len(chosen)) + held_out:
        others = draw_windows(
            calibration_paths(request),
            tokenizer,
            windows=drawn + held_out,
            tokens=max(window, test_window),
            seed=wanted.seed,
            purpose=_purpose(drawn and count, drawn and apart, held_out),
        )
    chosen += others[:drawn]
    calibration = [ids[:window] for ids in chosen[:count]]
    tested = [token for ids in others[drawn:] for token in ids[:test_window]]
    if request.test:
        tested = tokenizer.encode(text_of(request.test), special=False)[: request.test_tokens]
        if len(tested) < 2:
            raise PromptError(f"the text must be at least 2 tokens, not {len(tested)}")
    return Texts(calibration, _other([ids[:window] for ids in chosen[count:]], calibration), tested)


def check_apart(request: CompressionRequest) -> None:
    """RunError if the text to test on is one of those that the recipe reads."""
    recipe = request.recipe
    reads = recipe.recover is not None or (recipe.needs_text and not recipe.calibration.samples)
    if request.test is None or not reads:
        return
    test = request.test.resolve()
    for path in calibration_paths(request):
        if path.resolve() in (test, *test.parents):
            raise RunError(
                f"a text to test on must be none of those to calibrate on, not one of {path} "
                f"({request.test})"
            )


def calibration_paths(request: CompressionRequest) -> list[Path]:
    """The files and folders to calibrate on. RunError if there are none."""
    recipe, folder = request.recipe, request.recipe_path.parent
    paths = list(request.texts) or [folder / one for one in recipe.calibration.texts]
    if not paths:
        raise RunError(
            f"a text must be given by --text or calibration.texts, not none ({request.recipe_path})"
        )
    return paths


def _count(tokens: int, window: int) -> int:
    """Windows of so many tokens, at least one."""
    return max(1, tokens // window)


def _apart(budget: FormatBudget, window: int) -> int:
    """Windows to measure a budget on."""
    whole = budget.whole_tokens if budget.perplexity_ratio is not None else 0
    return _count(max(budget.tokens, whole), window)


def _purpose(count: int, apart: int, held_out: int) -> str:
    """What windows are for, where a budget is measured on some."""
    if not apart:
        return ""
    tested = f", {held_out} to test on" if held_out else ""
    return f" ({count} to choose integers on, {apart} to measure the budget on{tested})"


def _other(apart: list[list[int]], calibration: list[list[int]]) -> list[list[int]]:
    """Those that are not the same again, as copies of a file give them. PromptError if none is."""
    seen = set(map(tuple, calibration))
    found = [ids for ids in apart if tuple(ids) not in seen]
    if apart and not found:
        raise PromptError(
            "the text must have windows to measure the budget on that differ from those to choose "
            "integers on, not copies of them alone"
        )
    return found
