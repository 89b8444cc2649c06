"""From a model and a recipe to a folder with the compressed model, and what it is worth."""

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from alula.codegen.plan import fit_report
from alula.compress import CompressedModel, compress
from alula.compress.distillation import Distillation
from alula.compress.folding import input_sizes, rotated, scaled
from alula.compress.recipe import MatrixChoice, Recipe, Recovery, precision_of
from alula.compress.recovery import recover
from alula.compress.samples import sampled
from alula.compress.saving import save
from alula.compress.work import WorkFolder
from alula.design import GROUP, Design
from alula.folders import new_folder
from alula.frontend import Checkpoint
from alula.frontend.compressed import CompressedCheckpoint, matrix_shapes
from alula.ir import Architecture, Precision
from alula.ir.precision import HEAD
from alula.mapper import DoesNotFit, traffic
from alula.mapper.traffic import matrix_bytes
from alula.progress import Progress, silent
from alula.quant import padded
from alula.quant.reference import IntegerReference
from alula.runtime import evaluation
from alula.runtime.budgeting import BudgetChooser
from alula.runtime.errors import PromptError, RunError
from alula.runtime.executor import Executor
from alula.runtime.loading import needed_tokenizer, open_model
from alula.runtime.reference import reference_of
from alula.runtime.split import parse_split
from alula.runtime.texts import draw_windows, text_of
from alula.runtime.tokenizer import BoundedTokenizer
from alula.runtime.tokenizer_sources import tokenizer_copy
from alula.runtime.torch_units import IntegerUnits, torch_device
from alula.sources import sources_id

_LOG = logging.getLogger(__name__)
HELD_OUT = "held out of the calibration's texts"


@dataclass(frozen=True, kw_only=True)
class CompressionRequest:
    """What is to be compressed, and how.

    Attributes:
        model: the dense model, as `load` takes it.
        design: what it is to run on.
        recipe: how.
        recipe_path: where the recipe lies.
        texts: to calibrate on; none: those of the recipe.
        test: the text to test on; None: windows of the calibration's texts that it does not read.
        test_tokens: of that text.
        out: the folder to make.
        torch_device: where the float models run.
    """

    model: str
    design: Design
    recipe: Recipe
    recipe_path: Path
    texts: Sequence[Path]
    test: Path | None
    test_tokens: int
    out: Path
    torch_device: str = "cpu"

    @property
    def work(self) -> Path:
        """The folder that keeps what is done until all is."""
        return self.out.with_name(f"{self.out.name}.work")


@dataclass(frozen=True)
class Compressed:
    """What a compression gave.

    Attributes:
        average_bits: of a value, mean over the weights of the layers' matrices.
        stored_bits: of a weight, mean over all matrices: with scales, mins, indices, and without
            those that a pattern leaves out.
        bytes_per_token: that decoding the first token must read.
        perplexity: of the compressed model, in exact integers.
        reference_perplexity: of the dense one in fp32.
        ratio: the first by the second.
        test: the text of both.
        test_tokens: tokens of it.
        calibration_tokens: tokens that integers were chosen on.
        units: for each matrix its name, format, method and bytes.
    """

    average_bits: float
    stored_bits: float
    bytes_per_token: int
    perplexity: float
    reference_perplexity: float
    ratio: float
    test: str
    test_tokens: int
    calibration_tokens: int
    units: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    def summary(self) -> Iterator[tuple[str, ...]]:
        """Yield a row for each format and method: how many matrices, and their bytes."""
        groups: dict[tuple[str, str], list[int]] = {}
        for unit in self.units:
            groups.setdefault((unit["format"], unit["method"]), []).append(unit["bytes"])
        for (title, method), sizes in groups.items():
            yield title, method, str(len(sizes)), f"{sum(sizes):,}"


def compress_model(request: CompressionRequest, progress: Progress = silent) -> Compressed:
    """Compress a model into a new folder; what is done is kept in `request.work`.

    Raises:
        DesignError: the recipe is not for this model or this design.
        DoesNotFit: the model would not fit the design.
        RunError: the folder exists, or a text is too short.
        WorkError: the work that is there is another's.
        FrontendError: the model cannot be read.
        OSError: a text cannot be read, or a folder not be written.
    """
    recipe, place = request.recipe, str(request.recipe_path)
    if request.out.exists():
        raise RunError(f"--out must be a folder that does not exist yet, not {request.out}")
    recipe.check_design(request.design, place)
    if recipe.recover is not None and request.test is None:
        raise RunError(
            "a text to test on must be given by --test, not held out of those that training reads "
            f"({place}: recover)"
        )
    _check_apart(request)
    checkpoint = open_model(request.model, progress)
    if isinstance(checkpoint, CompressedCheckpoint):
        raise RunError(f"the model must be dense, not compressed already ({request.model})")
    choices = recipe.choices(_matrix_names(checkpoint.architecture), place)
    shaped = _shaped(checkpoint, recipe, place)
    if recipe.budget is None:
        _check_fit(shaped, request.design, precision_of(choices))
    calibration, tested = _texts(request, checkpoint, needed_tokenizer(checkpoint), progress)
    source = _folded(request, checkpoint, calibration)
    shaped = _shaped(source, recipe, place)
    if recipe.budget is not None:
        device = torch_device(request.torch_device)
        chooser = BudgetChooser(shaped, request.design, recipe, place, device, progress)
        choices = chooser.choices(choices, calibration)
    precision = precision_of(choices)
    work = WorkFolder(request.work, _identity(source, choices, calibration))
    model = compress(
        source,
        precision,
        calibration or None,
        methods={name: choice.method for name, choice in choices.items()},
        device=torch_device(request.torch_device),
        work=work,
        progress=progress,
    )
    if recipe.recover is not None:
        model = _recovered(request, recipe.recover, source, model, progress)
    model = CompressedModel(shaped, precision, model.chosen, model.vectors)
    units = _units(model, choices)
    found = _evaluated(request, checkpoint, model, tested, progress)
    _tell_excess(recipe, found.ratio, place)
    result = Compressed(
        average_bits=average_bits(model),
        stored_bits=8
        * sum(unit["bytes"] for unit in units)
        / sum(unit["weights"] for unit in units),
        bytes_per_token=traffic(shaped.architecture, precision).read(position=0, tokens=1),
        perplexity=found.perplexity,
        reference_perplexity=found.reference_perplexity,
        ratio=found.ratio,
        test=str(request.test) if request.test else HELD_OUT,
        test_tokens=found.tokens,
        calibration_tokens=sum(map(len, calibration)),
        units=units,
    )
    with new_folder(request.out) as folder:
        save(
            folder,
            shaped,
            model,
            dense=checkpoint.content_id,
            name=_lasting_name(request.model),
            vectors=model.vectors,
            tokenizer=tokenizer_copy(checkpoint.tokenizer_source),
            recipe=recipe.model_dump(),
            figures={name: value for name, value in result.as_dict().items() if name != "units"},
            progress=progress,
        )
    work.remove()
    return result


def _tell_excess(recipe: Recipe, ratio: float, place: str) -> None:
    """Warn where perplexity is over the budget: what is added up beforehand is an estimate."""
    asked = recipe.budget.perplexity_ratio if recipe.budget else None
    if asked is not None and ratio > asked:
        _LOG.warning(
            "perplexity_ratio is %.4f as measured, over the %.4f asked for: ask for less "
            "(%s: budget)",
            ratio,
            asked,
            place,
        )


def _matrix_names(architecture: Architecture) -> list[str]:
    return [name for unit in architecture.units for name in matrix_shapes(architecture, unit)]


def _shaped(checkpoint: Checkpoint, recipe: Recipe, place: str) -> Checkpoint:
    """The dense model with the attention of a recipe. DesignError if it is not for its heads."""
    if recipe.attention is None:
        return checkpoint
    return checkpoint.blocked(recipe.attention.blocks(checkpoint.architecture.kv_heads, place))


def _folded(
    request: CompressionRequest, checkpoint: Checkpoint, calibration: Sequence[Sequence[int]]
) -> Checkpoint:
    """The dense model from the weights that a recipe folds into it."""
    wanted = request.recipe.fold
    if wanted is None:
        return checkpoint
    if wanted.rotate:
        try:
            checkpoint = rotated(checkpoint)
        except ValueError as error:
            raise RunError(f"fold: {error} ({request.recipe_path})") from None
    if wanted.scale:
        device = torch_device(request.torch_device)
        sizes = input_sizes(padded(checkpoint), calibration, device)
        checkpoint = scaled(checkpoint, sizes, wanted.scale)
    return checkpoint


def _lasting_name(model: str) -> str:
    """A model's name, which means the same from every folder."""
    return str(Path(model).resolve()) if Path(model).exists() else model


def _check_fit(checkpoint: Checkpoint, design: Design, precision: Precision) -> None:
    """DoesNotFit if the design cannot run the model even for the shortest context."""
    report = fit_report(checkpoint.architecture, design, GROUP, precision)
    if not report.fits:
        raise DoesNotFit(report)


def _recovered(
    request: CompressionRequest,
    wanted: Recovery,
    checkpoint: Checkpoint,
    model: CompressedModel,
    progress: Progress,
) -> CompressedModel:
    """The model trained on windows of the calibration's texts."""
    ids = draw_windows(
        _calibration_paths(request),
        needed_tokenizer(checkpoint),
        windows=wanted.windows,
        tokens=min(wanted.window, checkpoint.architecture.max_context),
        seed=request.recipe.calibration.seed,
    )
    settings = Distillation(
        steps=wanted.steps,
        batch=wanted.batch,
        rate=wanted.rate,
        select=wanted.select,
        seed=request.recipe.calibration.seed,
    )
    try:
        return recover(
            checkpoint,
            model,
            ids,
            settings,
            device=torch_device(request.torch_device),
            keep=request.work / "training.pt",
            progress=progress,
        )
    except ValueError as error:
        raise RunError(f"recover: {error} ({request.recipe_path})") from None


def _check_apart(request: CompressionRequest) -> None:
    """RunError if the text to test on is one of those that the recipe reads."""
    recipe = request.recipe
    reads = recipe.recover is not None or (recipe.needs_text and not recipe.calibration.samples)
    if request.test is None or not reads:
        return
    test = request.test.resolve()
    for path in _calibration_paths(request):
        if path.resolve() in (test, *test.parents):
            raise RunError(
                f"a text to test on must be none of those to calibrate on, not one of {path} "
                f"({request.test})"
            )


def _calibration_paths(request: CompressionRequest) -> list[Path]:
    """The files and folders to calibrate on. RunError if there are none."""
    recipe, folder = request.recipe, request.recipe_path.parent
    paths = list(request.texts) or [folder / one for one in recipe.calibration.texts]
    if not paths:
        raise RunError(
            f"a text must be given by --text or calibration.texts, not none ({request.recipe_path})"
        )
    return paths


def _texts(
    request: CompressionRequest,
    checkpoint: Checkpoint,
    tokenizer: BoundedTokenizer,
    progress: Progress,
) -> tuple[list[list[int]], list[int]]:
    """The windows to calibrate on, none if nothing needs them, and the tokens to test on."""
    recipe, wanted = request.recipe, request.recipe.calibration
    context = checkpoint.architecture.max_context
    window, test_window = min(wanted.window, context), min(evaluation.WINDOW, context)
    count = max(1, wanted.tokens // window) if recipe.needs_text else 0
    held_out = 0 if request.test else max(1, request.test_tokens // test_window)
    said: list[list[int]] = []
    if wanted.samples and count:
        device = torch_device(request.torch_device)
        said = sampled(
            checkpoint,
            windows=count,
            tokens=window,
            seed=wanted.seed,
            device=device,
            progress=progress,
        )
    count -= len(said)
    drawn: list[list[int]] = []
    if count + held_out:
        drawn = draw_windows(
            _calibration_paths(request),
            tokenizer,
            windows=count + held_out,
            tokens=max(window, test_window),
            seed=wanted.seed,
        )
    tested = [token for ids in drawn[count:] for token in ids[:test_window]]
    if request.test:
        tested = tokenizer.encode(text_of(request.test), special=False)[: request.test_tokens]
        if len(tested) < 2:
            raise PromptError(f"the text must be at least 2 tokens, not {len(tested)}")
    return said + [ids[:window] for ids in drawn[:count]], tested


def _identity(
    checkpoint: Checkpoint,
    choices: Mapping[str, MatrixChoice],
    calibration: Sequence[Sequence[int]],
) -> dict[str, str]:
    """Everything that the chosen integers depend on, each as a hash."""
    parts = {
        "the model": checkpoint.content_id,
        "the rules": json.dumps({name: asdict(one) for name, one in choices.items()}),
        "the calibration's text": json.dumps(calibration),
        "Alula's code": sources_id("alula.compress", "alula.quant", "alula.frontend"),
    }
    return {name: sha256(text.encode()).hexdigest() for name, text in parts.items()}


def _evaluated(
    request: CompressionRequest,
    checkpoint: Checkpoint,
    model: CompressedModel,
    tested: Sequence[int],
    progress: Progress,
) -> evaluation.Evaluation:
    """Perplexities of the compressed model, in exact integers, and of the dense one."""
    split = parse_split("*=torch", model.architecture.units, "int")
    units = IntegerUnits(IntegerReference(model, torch_device(request.torch_device)))
    executor = Executor(split, dict.fromkeys(split.targets, units))
    reference = reference_of(checkpoint, progress)
    context = checkpoint.architecture.max_context
    return evaluation.evaluate(executor, reference, tested, context, progress)


def _weights(model: CompressedModel) -> int:
    return sum(math.prod(size) for size in model.shapes.values())


def average_bits(model: CompressedModel) -> float:
    """Bits of a value, mean over the weights of all matrices but the head."""
    counts = {name: math.prod(size) for name, size in model.shapes.items() if name != HEAD}
    bits = sum(count * model.precision.format(name).bits for name, count in counts.items())
    return bits / sum(counts.values())


def _units(model: CompressedModel, choices: Mapping[str, MatrixChoice]) -> list[dict[str, Any]]:
    return [
        {
            "unit": name,
            "format": choices[name].format,
            "method": choices[name].method,
            "weights": math.prod(size),
            "bytes": matrix_bytes(model.precision.format(name), *size),
        }
        for name, size in model.shapes.items()
    ]
