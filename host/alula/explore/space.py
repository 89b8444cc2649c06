"""The space of a sweep: points by number, and what each of them asks."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, Self

import numpy as np

from alula.cost.plans import Formats
from alula.design import GROUP, Design, load_design
from alula.explore.buffers import NAMES, START, NoBuffers, size_buffers
from alula.explore.models import Model, models_of
from alula.explore.sweep_file import QUESTION, Sweep, changes
from alula.progress import Progress, silent


@dataclass(frozen=True)
class Question:
    """A design, a model and lengths.

    Attributes:
        design: the accelerator.
        model: what runs on it.
        context: tokens of the sequence whose last one is decoded.
        prompt: tokens of the prompt.
    """

    design: Design
    model: Model
    context: int
    prompt: int

    @property
    def tokens(self) -> int:
        """Tokens that the programs are made for, whole groups of them."""
        return -(-max(self.context, self.prompt) // GROUP) * GROUP

    def content(self) -> str:
        """Return everything that an answer depends on, as text; names are left out."""
        formats: Formats = self.model.formats
        parts = {
            "design": self.design.model_dump(mode="json", exclude={"name"}),
            "shape": self.model.shape.to_json(),
            "formats": [formats.layers, formats.head, list(formats.matrices)],
            "perplexity": asdict(self.model.quality),
            "lengths": [self.context, self.prompt],
        }
        return json.dumps(parts, sort_keys=True)


@dataclass(frozen=True)
class DesignSpace:
    """All combinations of a sweep's axes, with the designs and models that it names.

    Attributes:
        sweep: the sweep.
        bases: its base designs, by name.
        models: its models, by name and recipe.
    """

    sweep: Sweep
    bases: Mapping[str, Design]
    models: Mapping[tuple[str, str | None], Model]

    @classmethod
    def of(cls, sweep: Sweep, progress: Progress = silent) -> Self:
        """Return the space of a sweep, everything that it names found and read.

        Raises:
            DesignError: there is no such design or recipe.
            RunError, FrontendError: a model cannot be found or read.
            OSError: the cache cannot be written.
        """
        names = sweep.axes.get("base", [sweep.base])
        return cls(sweep, {name: load_design(name) for name in names}, models_of(sweep, progress))

    @property
    def names(self) -> list[str]:
        """The axes."""
        return list(self.sweep.axes)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many values each axis has."""
        return tuple(map(len, self.sweep.axes.values()))

    @property
    def count(self) -> int:
        """Points; their numbers count the last axis fastest."""
        return prod(self.sizes)

    def places(self, numbers: np.ndarray) -> np.ndarray:
        """Return which value of each axis points have, int [points, axes]."""
        return np.stack(np.unravel_index(numbers, self.sizes), axis=1)

    def number(self, places: np.ndarray) -> np.ndarray:
        """Return the numbers of points; the inverse of `places`."""
        return np.asarray(np.ravel_multi_index(tuple(np.asarray(places).T), self.sizes))

    def values(self, number: int) -> dict[str, Any]:
        """Return the value of each axis at a point."""
        places = np.unravel_index(number, self.sizes)
        axes = self.sweep.axes.items()
        return {key: values[place] for (key, values), place in zip(axes, places, strict=True)}

    def question(self, values: Mapping[str, Any]) -> Question:
        """Return what a point asks.

        Raises:
            DesignError: the values make no valid design.
        """
        sweep = self.sweep
        asked = {key: values.get(key, getattr(sweep, key)) for key in QUESTION}
        fields = dict(sweep.fixed)
        for key, value in values.items():
            if key not in QUESTION:
                fields.update(changes(key, value))
        base = self.bases[asked["base"]]
        start = START if sweep.buffers == "smallest" else {}
        design = base.replace({**start, **fields}) if start or fields else base
        model = self.models[asked["model"], asked["recipe"]]
        question = Question(design, model, asked["context"], asked["prompt"])
        return self._sized(question, fields) if sweep.buffers == "smallest" else question

    def _sized(self, question: Question, fields: Mapping[str, Any]) -> Question:
        """A question with the smallest buffers for those that no field gives."""
        given = tuple(name for name in NAMES if f"buffers.{name}_kib" in fields)
        sizing = size_buffers(question.design, question.model, given)
        if sizing.fields is None:
            raise NoBuffers(sizing, f"{question.design.name}: buffers")
        return replace(question, design=question.design.replace(sizing.fields))


def key_of(content: str, version: str) -> str:
    """Return the name of an answer: a hash of what it depends on."""
    return hashlib.sha256(f"{version}\n{content}".encode()).hexdigest()[:32]
