"""Models of a sweep: a shape, the formats of its weights, a perplexity if it was measured."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

from alula.cost.plans import Formats
from alula.design import DesignError
from alula.explore.sweep_file import Sweep
from alula.ir import Architecture, Precision
from alula.ir.shapes import SHAPES
from alula.progress import Progress, silent


@dataclass(frozen=True)
class Model:
    """A model with one set of formats.

    Attributes:
        shape: its architecture.
        formats: of its weights.
        perplexity: as it was measured; None if it was not.
    """

    shape: Architecture
    formats: Formats
    perplexity: float | None = None


def models_of(sweep: Sweep, progress: Progress = silent) -> Mapping[tuple[str, str | None], Model]:
    """Return the models of a sweep, by their names and those of recipes.

    Raises:
        RunError, FrontendError: a model cannot be found or read.
        DesignError: there is no such recipe, or it is not for this model.
        OSError: the cache cannot be written.
    """
    known = {(one.model, one.recipe): one.value for one in sweep.perplexities}
    return {
        (name, recipe): model_of(name, recipe, known.get((name, recipe)), progress)
        for name in sweep.axes.get("model", [sweep.model])
        for recipe in sweep.axes.get("recipe", [sweep.recipe])
    }


def model_of(
    name: str,
    recipe: str | None = None,
    perplexity: float | None = None,
    progress: Progress = silent,
) -> Model:
    """Return a model with the formats of a recipe, or its own.

    Args:
        name: a known shape, which needs no weights, or a model as `alula run` takes it.
        recipe: a recipe's file or name.
        perplexity: as it was measured; if None, that of a compressed model is its own.
        progress: told of what is fetched and read.

    Raises:
        RunError, FrontendError: the model cannot be found or read.
        DesignError: there is no such recipe, or it is not for this model.
        OSError: the cache cannot be written.
    """
    own = open_model(name, progress)
    if recipe is None:
        return replace(own, perplexity=perplexity or own.perplexity)
    return Model(own.shape, _formats(recipe, own.shape), perplexity)


@lru_cache(maxsize=64)
def open_model(name: str, progress: Progress = silent) -> Model:
    """Return a model by a known shape's name, which needs no weights, or as `alula run` takes it.

    Raises:
        RunError, FrontendError: it cannot be found or read.
        OSError: the cache cannot be written.
    """
    if name in SHAPES and not Path(name).exists():
        return Model(SHAPES[name], Formats.of(Precision()))
    from alula.frontend.compressed import CompressedCheckpoint
    from alula.runtime.loading import open_model as opened

    checkpoint = opened(name, progress)
    if not isinstance(checkpoint, CompressedCheckpoint):
        return Model(checkpoint.architecture, Formats.of(Precision()))
    value = checkpoint.manifest.figures.get("perplexity")
    perplexity = float(value) if isinstance(value, int | float) else None
    return Model(checkpoint.architecture, Formats.of(checkpoint.precision), perplexity)


@cache
def _formats(recipe: str, shape: Architecture) -> Formats:
    """The formats that a recipe gives the matrices of a shape.

    DesignError if they are not all that it changes, or not known before a model is measured.
    """
    from alula.compress.recipe import load_recipe, precision_of
    from alula.frontend.compressed import matrix_shapes

    found, path = load_recipe(recipe)
    for key in ("budget", "attention"):
        if getattr(found, key) is not None:
            raise DesignError("a recipe of rules alone", f"one with {key}", str(path))
    names = [name for unit in shape.units for name in matrix_shapes(shape, unit)]
    return Formats.of(precision_of(found.choices(names, str(path))))
