"""A sweep file: what varies, what is asked of each point, and how the space is searched."""

import json
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from alula.design import Design, DesignError
from alula.design.error import listed, meant, shown
from alula.design.loading import read_yaml
from alula.design.record import Record
from alula.design.shipped import named_file, shipped_sweeps
from alula.explore.objectives import OBJECTIVES, ObjectiveName

MOST_POINTS = 10**9
MOST_ENUMERATED = 200_000
"""Points up to which all of a space are bounded; larger ones are searched by generations."""
QUESTION = ("base", "model", "recipe", "context", "prompt")
"""What an axis can be besides a field of the design."""

Name = Annotated[str, Field(min_length=1, max_length=1000)]
Tokens = Annotated[int, Field(ge=1, le=1 << 24)]
Axis = Annotated[list[Any], Field(min_length=1, max_length=10_000)]


class SweepLimit(Record):
    """What a number of a point must be."""

    at_least: float | None = None
    """The least that it may be."""

    at_most: float | None = None
    """The most that it may be."""


class SweepCheck(Record):
    """Points of which more than the models is asked, once the rest is done."""

    simulate: Annotated[int, Field(ge=0, le=1000)] = 0
    """Points whose token runs in RTL: the front's first, then others by chance."""

    synthesise: Annotated[int, Field(ge=0, le=1000)] = 0
    """Points of the front whose design Yosys synthesises."""

    most_cycles: Annotated[int, Field(ge=10_000, le=10**10)] = 4_000_000
    """Core cycles of a run in RTL at most: of a longer one fewer layers run."""

    most_designs: Annotated[int, Field(ge=1, le=1000)] = 6
    """Simulators that are built at most. Points share one that differ in the clock, the model, the
    context or the chunk of a prefill alone."""


class Perplexity(Record):
    """A perplexity that was measured."""

    model: Name
    """The model, as the sweep names it."""

    recipe: Name | None = None
    """The recipe, as the sweep names it; none: the formats that the model has without one."""

    value: Annotated[float, Field(gt=1, allow_inf_nan=False)] | None = None
    """The perplexity."""

    ratio: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """The perplexity over that of the dense model."""

    about: Annotated[str, Field(min_length=1, max_length=400)]
    """How it was measured: text, tokens, command."""


class Published(Record):
    """What others published, to be shown beside the points of a sweep."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    """What it is called."""

    about: Annotated[str, Field(min_length=1, max_length=400)]
    """Where it was published, and how its numbers were found."""

    values: Annotated[dict[ObjectiveName, float], Field(min_length=1)]
    """Its numbers."""


class Sweep(Record):
    """A space of designs, models and lengths, and what is looked for in it."""

    name: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9_.-]+$")]
    """Short name of the sweep."""

    base: Name | None = None
    """A design file, or the name of one that ships; left out where `base` is an axis."""

    model: Name | None = None
    """A known shape, which needs no weights, or a model as for alula run; or an axis."""

    recipe: Name | None = None
    """A recipe of alula compress, for the formats of the weights; or an axis."""

    context: Tokens = 512
    """Tokens of the sequence whose last one is decoded; or an axis."""

    prompt: Tokens = 128
    """Tokens of the prompt whose first answer is waited for; or an axis."""

    fixed: Annotated[dict[str, Any], Field(default_factory=dict)]
    """Fields of the design that all points change, by dotted key."""

    axes: Annotated[dict[str, Axis], Field(min_length=1)]
    """What varies, each with its values: fields of the design by dotted key, base, model, recipe,
    context or prompt. A value of a whole part, such as memory, is a mapping of some of its fields.
    Points are all combinations."""

    objectives: Annotated[list[ObjectiveName], Field(min_length=1, max_length=6)]
    """What is made most or least of, such as tokens_per_s and lut."""

    constraints: Annotated[dict[ObjectiveName, SweepLimit], Field(default_factory=dict)]
    """What a point must keep besides its part's resources."""

    part_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The share of each of the part's resources that a point may take."""

    clock: Literal["estimated", "declared"] = "estimated"
    """The clock of seconds: what the design reaches by its estimate, at most what it declares; or
    what it declares."""

    buffers: Literal["given", "smallest"] = "given"
    """smallest: buffers that neither an axis nor `fixed` names are the smallest that hold the model
    with its prefill chunk; given: those of the base."""

    cycles: Literal["modelled", "simulated"] = "modelled"
    """How the cycles of a token are found: by the cycle model; or of each point in RTL, which takes
    seconds or minutes, of as many layers as check.most_cycles lets run."""

    search: Literal["auto", "all", "bounds", "generations", "samples"] = "auto"
    """How points are chosen: all; by their bounds and what is learned, exact if it may end; NSGA-II
    (pymoo); or a sampler of Optuna, where a point takes seconds. auto: samples where each point is
    simulated, else bounds, or generations where there are too many points to bound."""

    points: Annotated[int, Field(ge=1, le=10**7)] | None = None
    """Points that the cycle model is asked about at most; none: as many as it takes."""

    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    """Draws what is left to chance."""

    check: SweepCheck = SweepCheck()
    """What is asked of RTL and synthesis."""

    perplexities: Annotated[list[Perplexity], Field(max_length=10_000)] = Field(
        default_factory=list
    )
    """Perplexities that were measured; a compressed model brings its own, and ratios of recipes
    that were measured with a known model come with Alula."""

    references: Annotated[list[Published], Field(max_length=100)] = Field(default_factory=list)
    """Published points, shown beside those of the sweep."""

    @property
    def count(self) -> int:
        """Points of the space."""
        return prod(map(len, self.axes.values()))

    @property
    def way(self) -> str:
        """How it is searched: `search`, decided."""
        if self.search != "auto":
            return self.search
        if self.cycles == "simulated":
            return "samples"
        return "bounds" if self.count <= MOST_ENUMERATED else "generations"

    def check_whole(self, source: str) -> None:
        """Check keys and values against designs and models; see `Record.check_whole`."""
        _check_lengths(self, source)
        for key, value in self.fixed.items():
            check_field(key, value, f"{source}: fixed")
        for key, values in self.axes.items():
            place = f"{source}: axes.{key}"
            if key not in QUESTION:
                for value in values:
                    check_field(key, value, place, QUESTION)
            elif key in self.model_fields_set:
                raise DesignError("an axis or given, not both", shown(key), f"{source}: axes")
            _check_distinct(values, place)
        clashes = [one for one in self.fixed if any(_overlap(one, key) for key in self.axes)]
        if clashes:
            raise DesignError("a field that is not fixed", shown(clashes[0]), f"{source}: axes")
        for key in ("base", "model"):
            if getattr(self, key) is None and key not in self.axes:
                raise DesignError("given, or an axis", "missing", f"{source}: {key}")
        for name in {one for one in self.objectives if self.objectives.count(one) > 1}:
            raise DesignError("named once", name, f"{source}: objectives")
        for name, limit in self.constraints.items():
            if limit.at_least is None and limit.at_most is None:
                raise DesignError("at_least or at_most", "neither", f"{source}: constraints.{name}")
        for number, one in enumerate(self.perplexities):
            if one.value is None and one.ratio is None:
                place = f"{source}: perplexities[{number}]"
                raise DesignError("value, ratio or both", "neither", place)
        if self.count > MOST_POINTS:
            raise DesignError(f"at most {MOST_POINTS} points", str(self.count), f"{source}: axes")
        if self.search in ("all", "bounds") and self.count > MOST_ENUMERATED:
            wanted = f"generations or samples, as more than {MOST_ENUMERATED} points cannot be told"
            raise DesignError(wanted, self.search, f"{source}: search")
        if self.way in ("generations", "samples") and self.points is None:
            raise DesignError(f"given for {self.way}", "missing", f"{source}: points")
        self._check_used(source)

    def _check_used(self, source: str) -> None:
        """DesignError for an axis that no objective and no limit depends on."""
        asked = [OBJECTIVES[name] for name in (*self.objectives, *self.constraints)]
        if "prompt" in self.axes and not any(one.phase == "prefill" for one in asked):
            wanted = (
                "left out where neither an objective nor a limit is of ttft_s: it cannot matter"
            )
            raise DesignError(wanted, "given", f"{source}: axes.prompt")


def load_sweep(source: str | Path) -> Sweep:
    """Load a sweep from a YAML file, or by the name of one that ships with Alula.

    Raises:
        DesignError: there is no such file, or what it holds is no valid sweep.
    """
    path = named_file(source, shipped_sweeps(), "sweep")
    return Sweep.from_mapping(read_yaml(path), str(path))


def changes(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields that a value of an axis changes, by dotted key: several of a whole part."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield f"{key}.{name}", one
    else:
        yield key, value


def check_field(key: str, value: Any, place: str, others: tuple[str, ...] = ()) -> None:
    """DesignError unless `key` is a field of a design, and the value a mapping for a whole part."""
    model: Any = Design
    for step in key.split("."):
        fields = getattr(model, "model_fields", {})
        if step not in fields:
            names = [*fields, *others] if model is Design else list(fields)
            wanted = listed(names) if fields else "no further key"
            hint = meant(step, names)
            raise DesignError(f"a field of a design ({wanted})", f"{shown(key)}{hint}", place)
        model = fields[step].annotation
    if not hasattr(model, "model_fields"):
        return
    names = list(model.model_fields)
    if not isinstance(value, dict):
        raise DesignError(f"one of its fields ({listed(names)}), or a mapping of them", key, place)
    for name in value:
        check_field(f"{key}.{name}", value[name], place)


def _check_distinct(values: list[Any], place: str) -> None:
    seen: set[str] = set()
    for value in values:
        text = json.dumps(value, sort_keys=True, default=str)
        if text in seen:
            raise DesignError("distinct values", f"{shown(value)} twice", place)
        seen.add(text)


def _check_lengths(sweep: Sweep, source: str) -> None:
    for key in ("context", "prompt"):
        for value in sweep.axes.get(key, ()):
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1 << 24:
                wanted = f"a whole number of 1 to {1 << 24}"
                raise DesignError(wanted, shown(value), f"{source}: axes.{key}")
    for key in ("base", "model", "recipe"):
        for value in sweep.axes.get(key, ()):
            if not (isinstance(value, str) and value) and not (key == "recipe" and value is None):
                raise DesignError("a name", shown(value), f"{source}: axes.{key}")


def _overlap(one: str, other: str) -> bool:
    """Whether two keys name the same field, or one a part of the other."""
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")
