"""A sweep file: designs that differ in some fields, and what each of them runs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError

from alula.design import Design, DesignError, load_design
from alula.design.error import listed, shown
from alula.design.loading import read_yaml
from alula.design.problem import design_error
from alula.design.record import Record
from alula.design.shipped import named_file, shipped_sweeps
from alula.ir import Architecture
from alula.ir.shapes import SHAPES

VOCABULARY = 64
MOST_POINTS = 10_000
Size = Annotated[int, Field(ge=1, le=1 << 16)]


class Layer(Record):
    """One decoder layer of a known model; the sizes that are given replace the model's."""

    model: Literal["smollm2-135m", "llama2-7b", "gpt2"]
    """The model whose shape it is."""

    hidden_size: Size | None = None
    """Width of the layer."""

    intermediate_size: Size | None = None
    """Width of the MLP."""

    heads: Size | None = None
    """Query heads."""

    kv_heads: Size | None = None
    """Key/value heads."""

    @property
    def architecture(self) -> Architecture:
        """One layer of the shape. No embedding and no head are run, so the vocabulary is small.

        Raises:
            ValueError: the sizes contradict each other.
        """
        sizes = self.model_dump(exclude={"model"}, exclude_none=True)
        shape = SHAPES[self.model]
        return replace(shape, layers=1, vocab_size=VOCABULARY, **sizes)


class Workload(Record):
    """What each design runs: a token behind a context, or several tokens at once, or both."""

    decode_at: Annotated[int, Field(ge=0, le=1 << 20)] | None = None
    """Tokens in the KV cache before the one that is decoded."""

    prefill: Size | None = None
    """Tokens of a prompt."""


class Sweep(Record):
    """A grid of designs over a base design, and what each of them runs."""

    name: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9_.-]+$")]
    """Short name of the sweep."""

    base: str
    """A design file, or the name of one that ships."""

    fixed: Annotated[dict[str, Any], Field(default_factory=dict)]
    """Fields of the design that all points change, by dotted key."""

    axes: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)]
    """Fields of the design by dotted key, each with its values; points are all combinations."""

    layer: Layer
    """What is run."""

    workload: Workload
    """How it is run."""

    @classmethod
    def from_mapping(cls, values: Any, source: str) -> Self:
        """Return the sweep that `values` describe.

        Raises:
            DesignError: they are no valid sweep; `source` names them in its text.
        """
        try:
            sweep = cls.model_validate(values)
        except ValidationError as error:
            raise design_error(cls, error, source) from None
        sweep._check(source)
        return sweep

    @property
    def points(self) -> list["Point"]:
        """All combinations, the last axis fastest."""
        base = load_design(self.base)
        return [
            Point(self, base, dict(zip(self.axes, values, strict=True)))
            for values in product(*self.axes.values())
        ]

    def _check(self, source: str) -> None:
        for place, keys in (("fixed", self.fixed), ("axes", self.axes)):
            for key in keys:
                _check_field(key, f"{source}: {place}")
        for key in self.fixed.keys() & self.axes.keys():
            raise DesignError("a field that is not fixed", shown(key), f"{source}: axes")
        count = 1
        for values in self.axes.values():
            count *= len(values)
        if count > MOST_POINTS:
            raise DesignError(f"at most {MOST_POINTS} points", str(count), f"{source}: axes")
        if self.workload.decode_at is None and self.workload.prefill is None:
            wanted = "decode_at, prefill or both"
            raise DesignError(wanted, "none of them", f"{source}: workload")
        try:
            architecture = self.layer.architecture
        except ValueError as error:
            raise DesignError(f"a possible shape: {error}", "this", f"{source}: layer") from None
        tokens = max((self.workload.decode_at or 0) + 1, self.workload.prefill or 0)
        if tokens > architecture.max_context:
            most = f"at most {architecture.max_context} tokens ({self.layer.model})"
            raise DesignError(most, str(tokens), f"{source}: workload")
        load_design(self.base)


@dataclass(frozen=True)
class Point:
    """One combination of the axes' values."""

    sweep: Sweep
    base: Design
    values: Mapping[str, Any]

    @property
    def design(self) -> Design:
        """The design.

        Raises:
            DesignError: the values make no valid design.
        """
        return self.base.replace({**self.sweep.fixed, **self.values})


def load_sweep(source: str | Path) -> Sweep:
    """Load a sweep from a YAML file, or by the name of one that ships with Alula.

    Raises:
        DesignError: there is no such file, or what it holds is no valid sweep.
    """
    path = named_file(source, shipped_sweeps(), "sweep")
    return Sweep.from_mapping(read_yaml(path), str(path))


def schema_text() -> str:
    """Return the text of designs/sweeps/sweep.schema.json."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(schema | Sweep.model_json_schema(), indent=2) + "\n"


def _check_field(key: str, place: str) -> None:
    model: Any = Design
    for step in key.split("."):
        fields = getattr(model, "model_fields", {})
        if step not in fields:
            names = listed(list(fields)) if fields else "no further key"
            raise DesignError(f"a field of a design ({names})", shown(key), place)
        model = fields[step].annotation
    if hasattr(model, "model_fields"):
        raise DesignError(f"one of its fields ({listed(list(model.model_fields))})", key, place)
