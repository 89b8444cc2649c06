"""A recipe file: the format of each matrix, how its integers are chosen, and on which text."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from alula.compress.distillation import Distillation
from alula.compress.methods import METHODS, PATTERN_METHODS, needs_text
from alula.design import BLOCK, Design, DesignError
from alula.design.error import listed, meant, shown
from alula.design.loading import read_yaml
from alula.design.record import Record, Whole
from alula.design.shipped import named_file, shipped_recipes
from alula.ir import AttentionBlocks, Precision
from alula.ir.architecture import PROJECTIONS
from alula.ir.precision import HEAD
from alula.isa.formats import DENSE, MATRIX_FORMATS

KINDS = {
    "all": r".*",
    "layers": r"layers\..*",
    "attention": r"layers\.\d+\.attn\..*",
    "mlp": r"layers\.\d+\.mlp\..*",
    **{name: rf"layers\.\d+\.{re.escape(name)}" for name in PROJECTIONS},
    HEAD: re.escape(HEAD),
}
"""What `units` may say instead of a regular expression, with the one that it stands for."""
DEFAULT_METHOD = "nearest"
"""Of matrices that no rule names; their formats are those of `Precision()`."""
_ROUNDING = 1e-6
_MOST_PATTERN = 200
_MOST_BLOCKS = 1 << 16
_Stride = Annotated[int, Field(ge=0, le=_MOST_BLOCKS)]


class Mix(Record):
    """Formats for the rows of a matrix, block by block: those that lose least within a limit."""

    formats: Annotated[list[str], Field(min_length=2, max_length=len(MATRIX_FORMATS))]
    """What is chosen from: W4 4:16, W4 8:16, W4 and the like."""

    keep: Annotated[float, Field(gt=0, le=1)] | None = None
    """The most that patterns keep of a matrix's weights, on average."""

    stored_bits: Annotated[float, Field(gt=0, le=16)] | None = None
    """Instead: the most bits of memory for a weight, on average, with scales, mins and indices."""

    rows: Annotated[int, Field(ge=1, le=1 << 15)] = 64
    """Rows of a block."""

    bands: Annotated[int, Field(ge=2, le=64)] = 4
    """The most runs of blocks with the same format; each takes instructions."""

    layers: Annotated[int, Field(ge=1, le=1 << 12)] | None = None
    """Consecutive layers that are alike, and so share code; all if left out."""

    def most(self, rows: int, inputs: int) -> int:
        """The limit of a matrix: weights that are kept of a block of inputs, or bytes."""
        if self.keep is not None:
            return int(self.keep * rows * BLOCK + _ROUNDING)
        assert self.stored_bits is not None
        return int(self.stored_bits * rows * inputs / 8 + _ROUNDING)


class Rule(Record):
    """The format of some matrices, and how their integers are chosen. Later rules count first."""

    units: Annotated[str, Field(min_length=1, max_length=_MOST_PATTERN)]
    """Which matrices: all, layers, attention, mlp, attn.q and the like, lm_head, or a regular
    expression that matches whole names such as layers.0.mlp.down."""

    bits: Annotated[Literal[2, 3, 4, 8], Whole] | None = None
    """Bits of a value; all rules have them but those with a mix."""

    pattern: Literal["dense", "2:4", "2:16", "4:16", "8:16"] = "dense"
    """How many of how many inputs have a weight; all but dense need a design with mpe.sparse."""

    method: Literal["nearest", "magnitude", "wanda", "compensate", "descent"] = "descent"
    """nearest rounds. magnitude and wanda choose what a pattern keeps, by the weight alone or times
    its input's norm, and round. compensate gives the error of each weight to those that follow
    (GPTQ, SparseGPT). descent improves that level by level."""

    mix: Mix | None = None
    """Instead of bits and a pattern: a format for each block of rows."""

    @property
    def formats(self) -> list[str]:
        """Titles of the formats that rows may have."""
        return [self._format] if self.mix is None else self.mix.formats

    @property
    def _format(self) -> str:
        return f"W{self.bits}" if self.pattern == DENSE.name else f"W{self.bits} {self.pattern}"

    @property
    def expression(self) -> re.Pattern[str]:
        """Matches the names of the matrices. re.error if it is none."""
        return re.compile(KINDS.get(self.units, self.units))


class CalibrationText(Record):
    """The text on which integers are chosen."""

    texts: list[str] = Field(default_factory=list)
    """Files and folders, from where the recipe lies; --text gives others."""

    samples: bool = False
    """Instead of texts windows that the dense model says itself; training still reads texts."""

    tokens: Annotated[int, Field(ge=2, le=1 << 26)] = 1 << 15
    """Tokens that are read."""

    window: Annotated[int, Field(ge=2, le=1 << 16)] = 512
    """Tokens of a window; each starts anew at position 0."""

    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    """Draws the windows out of the texts."""


class Recovery(Record):
    """Training of all layers together to say what the dense model says. It wants a GPU."""

    steps: Annotated[int, Field(ge=1, le=1 << 24)]
    """Updates."""

    batch: Annotated[int, Field(ge=1, le=1 << 12)] = Distillation.batch
    """Windows of a step."""

    window: Annotated[int, Field(ge=2, le=1 << 16)] = 1024
    """Tokens of a window; each starts anew at position 0."""

    windows: Annotated[int, Field(ge=1, le=1 << 20)] = 4096
    """Windows that are drawn out of the calibration's texts; all are read in turn."""

    rate: Annotated[float, Field(gt=0, le=1)] = Distillation.rate
    """How far a step moves a weight, in levels of its group; scales and gains by this share."""

    select: Annotated[int, Field(ge=0, le=1 << 24)] = Distillation.select
    """Steps from one choice of what patterns keep to the next; 0: the first one stays."""

    task_loss: Annotated[float, Field(ge=0, le=1)] = Distillation.task_loss
    """Weight of the cross-entropy to the text's next token; that of the divergence from the dense
    model is the rest."""

    def settings(self, seed: int) -> Distillation:
        """What training takes; `seed` is that of the calibration's text."""
        return Distillation(
            steps=self.steps,
            batch=self.batch,
            rate=self.rate,
            select=self.select,
            seed=seed,
            task_loss=self.task_loss,
        )


class Folding(Record):
    """What changes weights before their integers are chosen, and not what the model computes."""

    rotate: bool = False
    """Turn the residual stream, so that what is large in a few channels is spread over all."""

    scale: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Divide what goes into matrices by this power of its size on the calibration's text, channel
    by channel, and multiply their weights (AWQ); 0: neither."""

    order: bool = False
    """Sort the channels of MLPs, those first that give most to the output on the calibration's
    text, so that rows that matter alike lie together: for a mix."""


class Attention(Record):
    """Attention to some blocks of 64 positions, in every layer; integers are chosen without it."""

    local: Annotated[int, Field(ge=1, le=_MOST_BLOCKS)]
    """Blocks of the window: a query's own and those before it."""

    sinks: Annotated[int, Field(ge=1, le=_MOST_BLOCKS)] = 1
    """Blocks at the beginning that every query attends to."""

    stride: _Stride | list[_Stride] = 0
    """Of so many blocks before the window one is attended to; a number, or one for each KV head.
    0: none but the sinks."""

    offsets: list[_Stride] | None = None
    """Which one, for each KV head, sinks to before its stride; far from each other if left out."""

    def blocks(self, kv_heads: int, source: str) -> AttentionBlocks:
        """The blocks of a model's KV heads. DesignError if they are not for so many."""
        strides = (self.stride,) * kv_heads if isinstance(self.stride, int) else self.stride
        for name, found in (("stride", strides), ("offsets", self.offsets)):
            if found is not None and len(found) != kv_heads:
                wanted = f"{kv_heads} numbers, one for each KV head"
                raise DesignError(wanted, str(len(found)), f"{source}: attention.{name}")
        offsets = self.offsets or AttentionBlocks.spread_offsets(strides, self.sinks)
        try:
            return AttentionBlocks(
                local=self.local, sinks=self.sinks, strides=tuple(strides), offsets=tuple(offsets)
            )
        except ValueError as error:
            wanted, _, found = str(error).partition(" must be ")[2].partition(", not ")
            name = "offsets" if str(error).startswith("offset") else "stride"
            raise DesignError(wanted, found, f"{source}: attention.{name}") from None


class FormatBudget(Record):
    """What the matrices that no rule names may cost; their formats are chosen for it."""

    bytes_per_token: Annotated[int, Field(ge=1)] | None = None
    """The most that decoding the first token reads."""

    decode_cycles: Annotated[int, Field(ge=1)] | None = None
    """The most cycles that this takes on the design, modelled."""

    perplexity_ratio: Annotated[float, Field(gt=1, le=1e6)] | None = None
    """The most of perplexity over the dense model's, on text that no integer is chosen on, before
    training. Bytes are then the least instead."""

    formats: Annotated[list[str], Field(min_length=1, max_length=len(MATRIX_FORMATS))] = Field(
        default_factory=lambda: ["W2", "W3", "W4", "W8"]
    )
    """What is chosen from."""

    tokens: Annotated[int, Field(ge=2, le=1 << 20)] = 512
    """Of the calibration's text, none of those that integers are chosen on: to measure on what a
    matrix in a format costs."""

    whole_tokens: Annotated[int, Field(ge=2, le=1 << 20)] = 4096
    """Of the same, to measure the ratio of the whole model on."""

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are given, by what they limit in `alula.compress.budget`."""
        ratio = self.perplexity_ratio
        given = {
            "bytes": self.bytes_per_token,
            "cycles": self.decode_cycles,
            "loss": None if ratio is None else math.log(ratio),
        }
        return {name: limit for name, limit in given.items() if limit is not None}


@dataclass(frozen=True)
class MatrixChoice:
    """What a recipe says of a matrix: the title of its format, and the method.

    `mix`: where the formats of its rows are yet to be chosen; `format` is one that they may have.
    """

    format: str
    method: str
    mix: Mix | None = None


class Recipe(Record):
    """How a model is compressed."""

    name: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9_.-]+$")]
    """Short name of the recipe."""

    rules: Annotated[list[Rule], Field(max_length=1000)] = Field(default_factory=list)
    """What applies to which matrices, the general first: of several the last one counts."""

    budget: FormatBudget | None = None
    """Instead of rules for all: what all may cost together."""

    calibration: CalibrationText = Field(default_factory=CalibrationText)
    """The text on which integers are chosen."""

    fold: Folding | None = None
    """Rotation and scales that are folded into the weights before; neither if it is left out."""

    recover: Recovery | None = None
    """Training after that; none if it is left out."""

    attention: Attention | None = None
    """Blocks of positions that are attended to; all if it is left out."""

    def check_whole(self, source: str) -> None:
        """Check each rule; see `Record.check_whole`."""
        for number, rule in enumerate(self.rules):
            _check_rule(rule, f"{source}: rules.{number}")
        if self.budget is not None:
            _check_budget(self.budget, f"{source}: budget")
        elif not self.rules:
            raise DesignError("rules, a budget, or both", "neither", source)
        if self.fold == Folding():
            raise DesignError("rotate, a scale or order", "none of them", f"{source}: fold")

    def choices(self, matrices: Iterable[str], source: str) -> dict[str, MatrixChoice]:
        """Return what applies to each matrix of a model.

        Args:
            matrices: their names.
            source: names the recipe in an error's text.

        Raises:
            DesignError: a rule applies to none.
        """
        default, names = Precision(), list(matrices)
        chosen = {name: MatrixChoice(default.title(name), DEFAULT_METHOD) for name in names}
        last: dict[str, int] = {}
        for number, rule in enumerate(self.rules):
            for name in filter(rule.expression.fullmatch, names):
                chosen[name] = MatrixChoice(rule.formats[0], rule.method, rule.mix)
                last[name] = number
        for number in sorted(set(range(len(self.rules))) - set(last.values())):
            _refuse_idle(self.rules[number], names, f"{source}: rules.{number}.units")
        if HEAD in last and self.rules[last[HEAD]].mix is not None:
            units, place = self.rules[last[HEAD]].units, f"{source}: rules.{last[HEAD]}.units"
            raise DesignError(f"units without {HEAD}, which has one format", shown(units), place)
        return chosen

    def named(self, matrices: Iterable[str]) -> set[str]:
        """Which matrices rules apply to."""
        return {name for name in matrices for rule in self.rules if rule.expression.fullmatch(name)}

    def check_design(self, design: Design, source: str) -> None:
        """DesignError if the design cannot run what rules or a budget may choose."""
        for number, title in enumerate(self.budget.formats if self.budget else ()):
            if MATRIX_FORMATS[title].pattern is not DENSE and not design.mpe.sparse:
                raise DesignError(
                    f"dense on {design.name}, a design without mpe.sparse",
                    title,
                    f"{source}: budget.formats.{number}",
                )
        for number, rule in enumerate(self.rules):
            if rule.mix is not None:
                _check_rows(rule.mix, design, f"{source}: rules.{number}.mix")
            if rule.pattern != DENSE.name and not design.mpe.sparse:
                raise DesignError(
                    f"{DENSE.name} on {design.name}, a design without mpe.sparse",
                    rule.pattern,
                    f"{source}: rules.{number}.pattern",
                )

    @property
    def needs_text(self) -> bool:
        """Whether something is chosen or measured on a text."""
        if self.budget is not None:
            return True
        if self.fold is not None and (self.fold.scale > 0 or self.fold.order):
            return True
        return any(needs_text(rule.method) for rule in self.rules)


def load_recipe(source: str | Path) -> tuple[Recipe, Path]:
    """Load a recipe from a YAML file, or by the name of one that ships; and where the file lies.

    Raises:
        DesignError: there is no such file, or what it holds is no valid recipe.
    """
    path = named_file(source, shipped_recipes(), "recipe")
    return Recipe.from_mapping(read_yaml(path), str(path)), path


def precision_of(choices: Mapping[str, MatrixChoice]) -> Precision:
    """Return the formats of a model's matrices, all of which are named."""
    return Precision.of({name: choice.format for name, choice in choices.items()})


def _check_rule(rule: Rule, place: str) -> None:
    try:
        rule.expression  # noqa: B018 - compiles it
    except re.error as error:
        wanted = f"{listed(list(KINDS))}, or a regular expression ({error})"
        raise DesignError(wanted, shown(rule.units), f"{place}.units") from None
    if (rule.bits is None) == (rule.mix is None):
        found = "neither" if rule.mix is None else "both"
        raise DesignError("bits or a mix", found, place)
    if rule.mix is not None:
        _check_mix(rule, rule.mix, place)
    dense = all(MATRIX_FORMATS[title].pattern is DENSE for title in rule.formats)
    allowed = [name for name in METHODS if (name in PATTERN_METHODS) <= (not dense)]
    if not dense:
        allowed.remove("nearest")
    if rule.method not in allowed:
        what = "without a pattern" if dense else "with a pattern"
        raise DesignError(f"{listed(allowed)} {what}", rule.method, f"{place}.method")


def _check_mix(rule: Rule, mix: Mix, place: str) -> None:
    if rule.pattern != DENSE.name:
        raise DesignError(
            f"{DENSE.name} where a mix has patterns", rule.pattern, f"{place}.pattern"
        )
    _check_titles(mix.formats, f"{place}.mix.formats")
    if len(set(mix.formats)) < len(mix.formats):
        raise DesignError("different formats", listed(mix.formats), f"{place}.mix.formats")
    if (mix.keep is None) == (mix.stored_bits is None):
        found = "neither" if mix.keep is None else "both"
        raise DesignError("keep or stored_bits", found, f"{place}.mix")
    kept = min(1 / MATRIX_FORMATS[title].pattern.segments for title in mix.formats)
    if mix.keep is not None and mix.keep < kept:
        wanted = f"at least {kept:g}, what the sparsest of the formats keeps"
        raise DesignError(wanted, f"{mix.keep:g}", f"{place}.mix.keep")


def _check_rows(mix: Mix, design: Design, place: str) -> None:
    """DesignError unless bands of a mix can begin anywhere on a design."""
    for number, title in enumerate(mix.formats):
        pattern = MATRIX_FORMATS[title].pattern
        if pattern is not DENSE and not design.mpe.sparse:
            wanted = f"{DENSE.name} on {design.name}, a design without mpe.sparse"
            raise DesignError(wanted, title, f"{place}.formats.{number}")
        step = math.lcm(pattern.segments * design.rows, design.sfu.lanes)
        if mix.rows % step:
            wanted = f"a multiple of {step}, row blocks of {title} on {design.name}"
            raise DesignError(wanted, str(mix.rows), f"{place}.rows")


def _check_budget(budget: FormatBudget, place: str) -> None:
    if not budget.limits:
        names = "bytes_per_token, decode_cycles or perplexity_ratio"
        raise DesignError(names, "none of them", place)
    _check_titles(budget.formats, f"{place}.formats")


def _check_titles(titles: list[str], place: str) -> None:
    for number, title in enumerate(titles):
        if title not in MATRIX_FORMATS:
            raise DesignError(listed(list(MATRIX_FORMATS)), shown(title), f"{place}.{number}")


def _refuse_idle(rule: Rule, names: list[str], place: str) -> None:
    """DesignError for a rule that applies to no matrix."""
    if any(map(rule.expression.fullmatch, names)):
        raise DesignError("units that no later rule takes all of", shown(rule.units), place)
    first, last = names[0], names[-1]
    raise DesignError(
        f"{listed(list(KINDS))}, or a regular expression for some of {first} to {last}",
        shown(rule.units) + ("" if rule.units in KINDS else meant(rule.units, [*KINDS, *names])),
        place,
    )
