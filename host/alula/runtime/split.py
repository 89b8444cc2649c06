"""Which device runs which unit of a model: rules as text to segments in order.

A map is rules separated by commas, `[PHASE:]UNITS=TARGET`:

    layers.0-9=torch,*=accel
    prefill:*=torch:cuda,*=accel

PHASE is `prefill` or `decode`; without one a rule holds for both. UNITS is `embed`, `head`,
`layers.3`, `layers.0-9` or `*`. TARGET is `accel`, or one of torch: `torch-int` (the contract's
exact integers), `torch-float` (fp32, plainly), `torch-fp32`, `torch-bf16`, `torch-fp16` (as fast as
torch goes), or `torch`, with a torch device if it is not the CPU: `torch-int:cuda:1`.

Two rules must not name the same unit in the same phase. `*` takes what no other rule of the phase
names; `prefill:*` goes before `*`. A unit that no rule names, and a rule that names nothing, are
errors: nothing falls back without a word.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, NamedTuple, get_args

from alula.runtime.errors import SplitError

Phase = Literal["prefill", "decode"]
TorchMode = Literal["int", "float"]

PHASES: tuple[Phase, ...] = get_args(Phase)
TORCH_MODES: tuple[TorchMode, ...] = get_args(TorchMode)
Kind = Literal["accel", "torch-int", "torch-float", "torch-fp32", "torch-bf16", "torch-fp16"]
_TORCH_KINDS: dict[str, Kind] = {
    kind.removeprefix("torch-"): kind for kind in get_args(Kind) if kind != "accel"
}
DEFAULT_MAP = "*=accel"

TARGET = re.compile(r"accel|torch(-int|-float|-fp32|-bf16|-fp16)?(:[a-z]+(:\d+)?)?")
_LAYERS = re.compile(r"layers\.(\d+)(?:-(\d+))?")


@dataclass(frozen=True)
class Target:
    """What runs a unit.

    Attributes:
        kind: "accel", or torch: integer-exact, in fp32 with keys and values that grow, or quick in
            one of three types.
        device: torch's name of the device that computes; "" for the accelerator.
    """

    kind: Kind
    device: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.device}" if self.device else self.kind


ACCEL = Target("accel")


@dataclass(frozen=True)
class Segment:
    """Units that follow one another and run on one target.

    Attributes:
        target: what runs them.
        embed: whether the embedding is the first of them.
        layers: the layers among them, maybe none.
        head: whether the final norm and the head are the last of them.
    """

    target: Target
    embed: bool
    layers: range
    head: bool


@dataclass(frozen=True)
class Split:
    """The segments of each phase; in each they cover every unit once, in order."""

    prefill: tuple[Segment, ...]
    decode: tuple[Segment, ...]

    def segments(self, phase: Phase) -> tuple[Segment, ...]:
        """Return the segments of a phase."""
        return self.prefill if phase == "prefill" else self.decode

    @property
    def targets(self) -> frozenset[Target]:
        """Everything that runs a unit in some phase."""
        return frozenset(segment.target for segment in (*self.prefill, *self.decode))


class Named(NamedTuple):
    """What a rule says of a unit.

    Attributes:
        word: the word right of "=".
        rule: the whole rule, for messages.
    """

    word: str
    rule: str


@dataclass(frozen=True)
class _Rule:
    text: str
    phases: tuple[Phase, ...]
    units: frozenset[str]
    word: str

    @property
    def rank(self) -> int:
        """0: names units; 1: takes the rest of one phase; 2: takes the rest of both."""
        return 0 if self.units else len(self.phases)


def parse_split(text: str, units: Sequence[str], torch_mode: TorchMode = "int") -> Split:
    """Return what a map says for a model with these units.

    Args:
        text: the map.
        units: the model's units in order, "embed" first, "head" last.
        torch_mode: what the target `torch` means.

    Raises:
        SplitError: a rule is malformed, names nothing or overlaps another, or a unit has no rule.
    """
    if torch_mode not in TORCH_MODES:
        raise SplitError(f"torch mode must be int or float, not {torch_mode!r}")
    chosen = parse_rules(text, units)
    for phase, by_unit in chosen.items():
        _check_complete(phase, by_unit, units)
    prefill, decode = (
        _segments((unit, _parse_target(*chosen[phase][unit], torch_mode)) for unit in units)
        for phase in PHASES
    )
    return Split(prefill, decode)


def parse_rules(text: str, units: Sequence[str]) -> dict[Phase, dict[str, Named]]:
    """Return what the rules of a map name for each unit of each phase; units may have none.

    Args:
        text: the map; right of "=" may be any word.
        units: the model's units in order.

    Raises:
        SplitError: a rule is malformed, names nothing, or overlaps another.
    """
    rules = [_parse_rule(rule, units) for rule in text.split(",")]
    chosen: dict[Phase, dict[str, _Rule]] = {
        phase: _assign(phase, rules, units) for phase in PHASES
    }
    for rule in rules:
        if not any(rule is user for by_unit in chosen.values() for user in by_unit.values()):
            raise SplitError(
                f"every rule must name a unit that no other rule names, not {rule.text!r}"
            )
    return {
        phase: {unit: Named(rule.word, rule.text) for unit, rule in by_unit.items()}
        for phase, by_unit in chosen.items()
    }


def _parse_rule(text: str, units: Sequence[str]) -> _Rule:
    text = text.strip()
    left, equals, right = (part.strip() for part in text.partition("="))
    if not equals or not left:
        raise SplitError(f"a rule must be UNITS=TARGET such as layers.0-9=torch, not {text!r}")
    phases: tuple[Phase, ...] = PHASES
    prefix, colon, rest = left.partition(":")
    if colon:
        phases = tuple(phase for phase in PHASES if phase == prefix)
        if not phases:
            raise SplitError(f"a rule's phase must be prefill or decode, not {prefix!r} ({text})")
        left = rest.strip()
    return _Rule(text, phases, _parse_units(left, text, units), right)


def _parse_target(word: str, rule: str, torch_mode: TorchMode) -> Target:
    if not TARGET.fullmatch(word):
        raise SplitError(
            f"a target must be accel, or torch, torch-int, torch-float, torch-fp32, torch-bf16 or"
            f" torch-fp16 with a device such as torch:cuda, not {word!r} ({rule})"
        )
    if word == "accel":
        return Target("accel")
    name, _, device = word.partition(":")
    mode = name.partition("-")[2] or torch_mode
    return Target(_TORCH_KINDS[mode], device or "cpu")


def _parse_units(word: str, rule: str, units: Sequence[str]) -> frozenset[str]:
    """Return the units a rule names; none means `*`."""
    if word == "*":
        return frozenset()
    if match := _LAYERS.fullmatch(word):
        first = int(match[1])
        last = int(match[2] or first)
        if first > last:
            raise SplitError(f"a range of layers must go up, not {first}-{last} ({rule})")
        if f"layers.{last}" in units:
            return frozenset(f"layers.{index}" for index in range(first, last + 1))
    elif word in units:
        return frozenset([word])
    raise SplitError(f"units must be {_listed(units)} or *, not {word!r} ({rule})")


def _listed(units: Sequence[str]) -> str:
    layers = len(units) - 2
    if layers == 1:
        return "embed, layers.0, head"
    return f"embed, layers.0 to layers.{layers - 1} (also layers.0-{layers - 1}), head"


def _assign(phase: Phase, rules: Sequence[_Rule], units: Sequence[str]) -> dict[str, _Rule]:
    chosen: dict[str, _Rule] = {}
    for rank in range(3):
        free = frozenset(unit for unit in units if unit not in chosen)
        taken: dict[str, _Rule] = {}
        for rule in rules:
            if phase not in rule.phases or rule.rank != rank:
                continue
            for unit in units:
                if unit not in (rule.units or free):
                    continue
                if unit in taken:
                    raise SplitError(
                        f"rules must not overlap: {taken[unit].text!r} and {rule.text!r}"
                        f" both name {unit} in {phase}"
                    )
                taken[unit] = rule
        chosen |= taken
    return chosen


def _check_complete(phase: Phase, chosen: Mapping[str, Named], units: Sequence[str]) -> None:
    missing = [unit for unit in units if unit not in chosen]
    if missing:
        shown = ", ".join(missing[:6]) + (
            f" and {len(missing) - 6} more" if len(missing) > 6 else ""
        )
        raise SplitError(
            f"every unit must have a rule in {phase}, not all but {shown}; *=accel adds one"
        )


def _segments(placed: Iterable[tuple[str, Target]]) -> tuple[Segment, ...]:
    segments = []
    for target, group in groupby(placed, key=lambda item: item[1]):
        names = [unit for unit, _ in group]
        layers = [int(name.removeprefix("layers.")) for name in names if name.startswith("layers.")]
        covered = range(layers[0], layers[-1] + 1) if layers else range(0)
        segments.append(Segment(target, "embed" in names, covered, "head" in names))
    return tuple(segments)
