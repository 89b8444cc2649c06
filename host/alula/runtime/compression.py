"""From a model and a recipe to a folder with the compressed model, and what it is worth."""

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from alula import files
from alula.codegen.plan import fit_report
from alula.compress import CompressedModel, compress
from alula.compress.folding import input_sizes, ordered, rotated, scaled
from alula.compress.recipe import MatrixChoice, Recipe, Recovery, precision_of
from alula.compress.recovery import recover
from alula.compress.saving import save
from alula.compress.work import WorkFolder
from alula.design import GROUP, Design
from alula.folders import cache_folder, new_file, new_folder
from alula.frontend import Checkpoint
from alula.frontend.compressed import CompressedCheckpoint, matrix_shapes
from alula.ir import Architecture, Precision
from alula.ir.bands import formats_of
from alula.ir.precision import HEAD
from alula.mapper import DoesNotFit, traffic
from alula.mapper.traffic import matrix_bytes
from alula.progress import Progress, silent
from alula.quant import padded
from alula.quant.reference import IntegerReference
from alula.runtime import evaluation
from alula.runtime.budgeting import BudgetChooser
from alula.runtime.compression_request import CompressionRequest
from alula.runtime.compression_texts import (
    Texts,
    calibration_paths,
    check_apart,
    first_tokens,
    texts_of,
)
from alula.runtime.errors import RunError
from alula.runtime.executor import Executor
from alula.runtime.loading import needed_tokenizer, open_model
from alula.runtime.mixes import with_bands
from alula.runtime.reference import reference_of
from alula.runtime.split import parse_split
from alula.runtime.texts import draw_windows
from alula.runtime.tokenizer_sources import tokenizer_copy
from alula.runtime.torch_units import IntegerUnits, torch_device
from alula.sources import sources_id

_LOG = logging.getLogger(__name__)
HELD_OUT = "held out of the calibration's texts"
_RATIOS = "budget_ratios"


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
        budget_ratio: of perplexities before training, on the calibration's text where no integer
            was chosen; None unless a budget asks for one.
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
    budget_ratio: float | None
    units: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    def summary(self) -> Iterator[tuple[str, ...]]:
        """Yield a row for each format and method: how many matrices, and their bytes.

        Matrices of several formats are told by these alone, not by their bands.
        """
        groups: dict[tuple[str, str], list[int]] = {}
        for unit in self.units:
            formats = sorted({fmt.title for fmt in formats_of(unit["format"])})
            key = (" + ".join(formats), unit["method"])
            groups.setdefault(key, []).append(unit["bytes"])
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
    check_apart(request)
    checkpoint = open_model(request.model, progress)
    if isinstance(checkpoint, CompressedCheckpoint):
        raise RunError(f"the model must be dense, not compressed already ({request.model})")
    choices = recipe.choices(_matrix_names(checkpoint.architecture), place)
    shaped = _shaped(checkpoint, recipe, place)
    if recipe.budget is None:
        _check_fit(shaped, request.design, precision_of(choices))
    texts = texts_of(request, checkpoint, needed_tokenizer(checkpoint), progress)
    source = _folded(request, checkpoint, texts.calibration)
    shaped = _shaped(source, recipe, place)
    candidates = _Candidates(request, checkpoint, source, shaped, texts, progress)
    budget_ratio, device = None, torch_device(request.torch_device)
    if any(choice.mix is not None for choice in choices.values()):
        choices = with_bands(source, choices, texts.calibration, place, device, progress)
        if recipe.budget is None:
            _check_fit(shaped, request.design, precision_of(choices))
    if recipe.budget is not None:
        chooser = BudgetChooser(shaped, request.design, recipe, place, device, progress)
        choices, budget_ratio = chooser.choices(choices, texts, candidates.ratio)
    precision = precision_of(choices)
    model = candidates.compressed(choices)
    if recipe.recover is not None:
        model = _recovered(request, recipe.recover, source, model, progress)
    model = CompressedModel(shaped, precision, model.chosen, model.vectors)
    units = _units(model, choices)
    found = _evaluated(request, checkpoint, model, texts.tested, evaluation.WINDOW, progress)
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
        calibration_tokens=sum(map(len, texts.calibration)),
        budget_ratio=budget_ratio,
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
    candidates.remove()
    return result


class _Candidates:
    """What a model becomes by choices of formats and methods, one after the other."""

    def __init__(
        self,
        request: CompressionRequest,
        dense: Checkpoint,
        source: Checkpoint,
        shaped: Checkpoint,
        texts: Texts,
        progress: Progress,
    ) -> None:
        self._request, self._dense, self._source, self._shaped = request, dense, source, shaped
        self._texts, self._progress = texts, progress
        self._work: WorkFolder | None = None

    def compressed(self, choices: Mapping[str, MatrixChoice]) -> CompressedModel:
        """The model by choices; what is done is kept in the request's folder for work."""
        self._work = WorkFolder(self._request.work, self._identity(choices))
        return compress(
            self._source,
            precision_of(choices),
            self._texts.calibration or None,
            methods={name: choice.method for name, choice in choices.items()},
            device=torch_device(self._request.torch_device),
            work=self._work,
            progress=self._progress,
        )

    def ratio(self, choices: Mapping[str, MatrixChoice], most: float) -> float:
        """The ratio of perplexities on the text that is held apart, kept by content.

        A model of more than `most` is forgotten, so that the next one has the folder for work.
        """
        budget = self._request.recipe.budget
        assert budget is not None
        apart = first_tokens(self._texts.apart, budget.whole_tokens)
        code = sources_id("alula.runtime.evaluation")
        key = json.dumps([self._identity(choices), self._shaped.content_id, apart, code])
        place = cache_folder() / _RATIOS / f"{sha256(key.encode()).hexdigest()}.json"
        found = _kept_ratio(place)
        if found is None:
            made = self.compressed(choices)
            model = CompressedModel(self._shaped, made.precision, made.chosen)
            tokens = [token for ids in apart for token in ids]
            found = _evaluated(
                self._request, self._dense, model, tokens, len(apart[0]), self._progress
            ).ratio
            if found > most:
                self.remove()
            place.parent.mkdir(parents=True, exist_ok=True)
            with new_file(place) as file:
                file.write(json.dumps(found).encode())
        return found

    def remove(self) -> None:
        """Remove the folder for work of the last one."""
        assert self._work is not None
        self._work.remove()

    def _identity(self, choices: Mapping[str, MatrixChoice]) -> dict[str, str]:
        """Everything that the chosen integers depend on, each as a hash."""
        parts = {
            "the model": self._source.content_id,
            "the rules": json.dumps({name: asdict(one) for name, one in choices.items()}),
            "the calibration's text": json.dumps(self._texts.calibration),
            "Alula's code": sources_id("alula.compress", "alula.quant", "alula.frontend"),
        }
        return {name: sha256(text.encode()).hexdigest() for name, text in parts.items()}


def _kept_ratio(place: Path) -> float | None:
    """What was measured before; None where the file is absent or damaged."""
    try:
        return float(json.loads(files.read_bytes(place)))
    except (OSError, ValueError, TypeError):
        return None


def _tell_excess(recipe: Recipe, ratio: float, place: str) -> None:
    """Warn where perplexity is over the budget, which is kept on other text and before training."""
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
    device = torch_device(request.torch_device)
    if wanted.scale:
        sizes = input_sizes(padded(checkpoint), calibration, device)
        checkpoint = scaled(checkpoint, sizes, wanted.scale)
    if wanted.order:
        checkpoint = ordered(checkpoint, input_sizes(padded(checkpoint), calibration, device))
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
        calibration_paths(request),
        needed_tokenizer(checkpoint),
        windows=wanted.windows,
        tokens=min(wanted.window, checkpoint.architecture.max_context),
        seed=request.recipe.calibration.seed,
    )
    try:
        return recover(
            checkpoint,
            model,
            ids,
            wanted.settings(request.recipe.calibration.seed),
            device=torch_device(request.torch_device),
            keep=request.work / "training.pt",
            progress=progress,
        )
    except ValueError as error:
        raise RunError(f"recover: {error} ({request.recipe_path})") from None


def _evaluated(
    request: CompressionRequest,
    checkpoint: Checkpoint,
    model: CompressedModel,
    tested: Sequence[int],
    window: int,
    progress: Progress,
) -> evaluation.Evaluation:
    """Perplexities of the compressed model, in exact integers, and of the dense one."""
    split = parse_split("*=torch", model.architecture.units, "int")
    units = IntegerUnits(IntegerReference(model, torch_device(request.torch_device)))
    executor = Executor(split, dict.fromkeys(split.targets, units))
    reference = reference_of(checkpoint, progress)
    context = checkpoint.architecture.max_context
    return evaluation.evaluate(executor, reference, tested, context, progress, window=window)


def _weights(model: CompressedModel) -> int:
    return sum(math.prod(size) for size in model.shapes.values())


def average_bits(model: CompressedModel) -> float:
    """Bits of a value, mean over the weights of all matrices but the head."""
    bits = count = 0
    for name, (rows, inputs) in model.shapes.items():
        if name != HEAD:
            bands = model.precision.bands(name, rows)
            bits += inputs * sum(band.rows * band.format.bits for band in bands)
            count += rows * inputs
    return bits / count


def _units(model: CompressedModel, choices: Mapping[str, MatrixChoice]) -> list[dict[str, Any]]:
    return [
        {
            "unit": name,
            "format": choices[name].format,
            "method": choices[name].method,
            "weights": rows * inputs,
            "bytes": sum(
                matrix_bytes(band.format, band.rows, inputs)
                for band in model.precision.bands(name, rows)
            ),
        }
        for name, (rows, inputs) in model.shapes.items()
    ]
