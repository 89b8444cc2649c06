"""Models of a sweep: a shape, the formats of its weights, a perplexity if it was measured."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

from alula.cost.plans import Formats
from alula.design import DesignError
from alula.design.shipped import named_file, shipped_folder, shipped_recipes
from alula.explore.objectives import OF_WEIGHTS
from alula.explore.sweep_file import Sweep
from alula.ir import Architecture, Precision
from alula.ir.shapes import SHAPES
from alula.progress import Progress, silent


@dataclass(frozen=True)
class Quality:
    """What was measured of a model's weights; None what was not.

    Attributes:
        perplexity: on some text.
        ratio: perplexity over that of the dense model.
    """

    perplexity: float | None = None
    ratio: float | None = None

    def over(self, other: "Quality") -> "Quality":
        """Return what is known, from here before from another."""
        return Quality(
            other.perplexity if self.perplexity is None else self.perplexity,
            other.ratio if self.ratio is None else self.ratio,
        )


@dataclass(frozen=True)
class Model:
    """A model with one set of formats.

    Attributes:
        shape: its architecture.
        formats: of its weights.
        quality: as it was measured.
    """

    shape: Architecture
    formats: Formats
    quality: Quality = Quality()


def models_of(sweep: Sweep, progress: Progress = silent) -> Mapping[tuple[str, str | None], Model]:
    """Return the models of a sweep, by their names and those of recipes.

    Raises:
        RunError, FrontendError: a model cannot be found or read.
        DesignError: there is no such recipe, it is not for this model, or an objective was not
            measured of it.
        OSError: the cache cannot be written.
    """
    given = {(one.model, one.recipe): Quality(one.value, one.ratio) for one in sweep.perplexities}
    found = {
        (name, recipe): model_of(name, recipe, given.get((name, recipe), Quality()), progress)
        for name in sweep.axes.get("model", [sweep.model])
        for recipe in sweep.axes.get("recipe", [sweep.recipe])
    }
    for objective, field in zip(OF_WEIGHTS, ("perplexity", "ratio"), strict=True):
        if objective in sweep.objectives:
            for (name, recipe), model in found.items():
                if getattr(model.quality, field) is None:
                    what = f"{name} with {recipe}" if recipe else name
                    wanted = f"measured of every model and recipe (perplexities, {field})"
                    place = f"{sweep.name}: objectives, {objective}"
                    raise DesignError(wanted, f"unknown of {what}", place)
    return found


def model_of(
    name: str,
    recipe: str | None = None,
    quality: Quality = Quality(),
    progress: Progress = silent,
) -> Model:
    """Return a model with the formats of a recipe, or its own.

    Args:
        name: a known shape, which needs no weights, or a model as `alula run` takes it.
        recipe: a recipe's file or name.
        quality: as it was measured. What is not given is that of the compressed model, or of a
            recipe that comes with Alula, where it was measured with this model.
        progress: told of what is fetched and read.

    Raises:
        RunError, FrontendError: the model cannot be found or read.
        DesignError: there is no such recipe, or it is not for this model.
        OSError: the cache cannot be written.
    """
    own = open_model(name, progress)
    if recipe is None:
        return replace(own, quality=quality.over(own.quality))
    known = Quality(ratio=_shipped_ratio(name, recipe))
    return Model(own.shape, _formats(recipe, own.shape), quality.over(known))


def _shipped_ratio(name: str, recipe: str) -> float | None:
    """The ratio that comes with Alula; None where a file or folder at hand has one of the names."""
    shipped = shipped_recipes()
    if Path(name).exists() or named_file(recipe, shipped, "recipe") != shipped.get(recipe):
        return None
    return shipped_ratios().get((name, recipe))


@cache
def shipped_ratios() -> Mapping[tuple[str, str], float]:
    """Return the perplexity ratios that come with Alula by model and recipe: the worst text's.

    A recipe that trains has that after training.
    """
    path = shipped_folder() / "recipes" / "perplexity.json"
    measured = json.loads(path.read_text(encoding="utf-8"))
    return {
        (model, recipe): max(texts.values())
        for model, recipes in measured.items()
        for recipe, texts in recipes.items()
    }


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
    figures = checkpoint.manifest.figures
    values = (figures.get(name) for name in ("perplexity", "ratio"))
    known = [float(value) if isinstance(value, int | float) else None for value in values]
    return Model(checkpoint.architecture, Formats.of(checkpoint.precision), Quality(*known))


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
    if any(rule.mix is not None for rule in found.rules):
        raise DesignError("a recipe of rules alone", "one with a mix", str(path))
    names = [name for unit in shape.units for name in matrix_shapes(shape, unit)]
    return Formats.of(precision_of(found.choices(names, str(path))))
