"""The smallest buffers that a model needs on a part, by CP-SAT; or what excludes each other."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from alula.design import GROUP, Design, DesignError
from alula.design.engines import Buffers
from alula.design.storage import Bank
from alula.explore.models import Model
from alula.ir import build_graph
from alula.ir.padding import pad_heads
from alula.libraries import needed
from alula.mapper import place

NAMES = tuple(name.removesuffix("_kib") for name in Buffers.model_fields)
"""The buffers, each with a field `NAME_kib`."""
_ALWAYS_GIVEN = ("program",)
"""What programs take is known only when they are made."""
_ROOMY_KIB = 1 << 20
"""How large buffers are taken, to see what a model asks of them."""
START = {"buffers.vector_kib": 64, "buffers.activation_kib": 64, "buffers.staging_kib": 16}
"""Sizes that every design takes, before others are found."""
_SIZES = tuple(sorted({1 << k for k in range(14)} | {3 << k for k in range(12)}))
_MOST_TRIES = 16


@dataclass(frozen=True)
class Sizing:
    """Buffers for a model.

    Attributes:
        fields: the sizes by field of the design; None if there are none.
        conflict: what excludes each other, if there are none: no part of it alone does.
    """

    fields: Mapping[str, int] | None
    conflict: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """One line for people."""
        if self.fields is not None:
            return ", ".join(f"{name} {value}" for name, value in self.fields.items())
        what = " and ".join(self.conflict)
        return f"{what} exclude each other" if len(self.conflict) > 1 else f"{what} cannot be"


class NoBuffers(DesignError):
    """No buffers hold a model on a design's part."""

    def __init__(self, sizing: Sizing, place: str) -> None:
        super().__init__("buffers that hold the model", f"none, as {sizing.line}", place)


def size_buffers(design: Design, model: Model, given: tuple[str, ...] = ()) -> Sizing:
    """Return the smallest buffers with which a model fits a design's part, by share of its memory.

    The design's prefill chunk is kept, at the longest context that both allow, as the compiler
    places it: smaller buffers would make it shorter.

    Args:
        design: everything but the buffers.
        model: what it must run.
        given: buffers that stay as the design has them, such as "stream".

    Raises:
        MissingLibrary: OR-tools is not installed.
    """
    return _sized(design, model, given)  # pyright: ignore[reportArgumentType]


@lru_cache(maxsize=1024)
def _sized(design: Design, model: Model, given: tuple[str, ...]) -> Sizing:
    given = (*given, *_ALWAYS_GIVEN)
    problem = _Problem(design, _demands(design, model), given)
    for _ in range(_MOST_TRIES):
        sizes = problem.solve()
        if sizes is None:
            return Sizing(None, problem.conflict())
        fields = {f"buffers.{name}_kib": size for name, size in sizes.items() if name not in given}
        try:
            design.replace(fields)
        except DesignError:
            # A rule of the design that is not of blocks: not these sizes.
            problem.forbid(sizes)
        else:
            return Sizing(fields)
    return Sizing(None, ("rules of the design",))


def _demands(design: Design, model: Model) -> Mapping[str, int]:
    """KiB that a model needs of each buffer, as its fit report has them."""
    tokens = min(design.context_max, model.shape.max_context) // GROUP * GROUP
    sizes = {f"{name}_kib": _ROOMY_KIB for name in NAMES}
    roomy = design.model_copy(update={"buffers": Buffers.model_construct(None, **sizes)})
    graph = build_graph(pad_heads(model.shape))
    report = place(graph, roomy, tokens, model.formats.precision).report
    found = dict.fromkeys(NAMES, 1)
    for item in report.items:
        name = item.key.removeprefix("buffers.").removesuffix("_kib")
        if name in found and item.key.startswith("buffers."):
            found[name] = max(found[name], math.ceil(item.demand * _ROOMY_KIB / item.bound))
    return found


@dataclass(frozen=True)
class _Kept:
    """A bank that a choice of sizes may have, and whether it takes blocks of either kind."""

    bank: Bank
    in_bram: Any
    in_uram: Any

    @property
    def brams(self) -> Any:
        """Block RAMs of 18 Kbit that it takes."""
        return self.bank.brams * self.in_bram

    @property
    def urams(self) -> Any:
        """UltraRAMs that it takes."""
        return self.bank.urams * self.in_uram


class _Problem:
    """Which size of each buffer, and which kind of block for each of its banks."""

    def __init__(self, design: Design, demands: Mapping[str, int], given: Sequence[str]) -> None:
        self._cp = needed("ortools", "ortools.sat.python.cp_model")
        self._design, self._demands = design, demands
        self._model = self._cp.CpModel()
        self._sizes = {name: tuple(self._possible(name, given)) for name in NAMES}
        self._chosen = {
            name: [self._model.new_bool_var(f"{name} {size}") for size in sizes]
            for name, sizes in self._sizes.items()
        }
        self._reasons: dict[str, Any] = {}
        self._kept: list[_Kept] = []
        for name in NAMES:
            self._model.add_exactly_one(self._chosen[name])
            self._demand(name, given)
            self._blocks(name)
        for bank in design.banks:
            if bank.buffer not in NAMES:
                self._put(bank, 1)
        self._bind()
        self._limits()

    def solve(self) -> dict[str, int] | None:
        """Return the size of each buffer, None if there are none."""
        solver = self._solver()
        self._model.clear_assumptions()
        self._model.add_assumptions(list(self._reasons.values()))
        if solver.solve(self._model) not in (self._cp.OPTIMAL, self._cp.FEASIBLE):
            return None
        return {
            name: next(
                size
                for size, chosen in zip(self._sizes[name], self._chosen[name], strict=True)
                if solver.boolean_value(chosen)
            )
            for name in NAMES
        }

    def conflict(self) -> tuple[str, ...]:
        """Return reasons that exclude each other: without any one of them there is a way."""
        kept = dict(self._reasons)
        for reason in list(kept):
            fewer = {name: literal for name, literal in kept.items() if name != reason}
            self._model.clear_assumptions()
            self._model.add_assumptions(list(fewer.values()))
            if self._solver().solve(self._model) == self._cp.INFEASIBLE:
                kept = fewer
        return tuple(kept)

    def forbid(self, sizes: Mapping[str, int]) -> None:
        """Leave out a choice of sizes."""
        taken = [self._chosen[name][self._sizes[name].index(size)] for name, size in sizes.items()]
        self._model.add_bool_or([one.negated() for one in taken])

    def _possible(self, name: str, given: Sequence[str]) -> Iterator[int]:
        """Sizes that a buffer may have: the given one, or the demand and a scale of others."""
        demand = self._demands[name]
        if name in given:
            yield from sorted({demand, getattr(self._design.buffers, f"{name}_kib")})
            return
        yield from sorted({demand, *(size for size in _SIZES if size < 8 * demand)})

    def _demand(self, name: str, given: Sequence[str]) -> None:
        demand = self._demands[name]
        if name in given:
            size = getattr(self._design.buffers, f"{name}_kib")
            place = self._sizes[name].index(size)
            fixed = self._reason(f"buffers.{name}_kib {size}")
            self._model.add_implication(fixed, self._chosen[name][place])
        reason = self._reason(f"buffers.{name}_kib at least {demand}")
        for size, chosen in zip(self._sizes[name], self._chosen[name], strict=True):
            if size < demand:
                self._model.add_implication(reason, chosen.negated())

    def _blocks(self, name: str) -> None:
        """Blocks of a buffer's banks, by its size and by where they are."""
        for size, chosen in zip(self._sizes[name], self._chosen[name], strict=True):
            for bank in self._banks(name, size):
                self._put(bank, chosen)

    def _banks(self, name: str, size: int) -> Iterator[Bank]:
        buffers = self._design.buffers.model_copy(update={f"{name}_kib": size})
        changed = self._design.model_copy(update={"buffers": buffers})
        return (bank for bank in changed.banks if bank.buffer == name)

    def _put(self, bank: Bank, chosen: Any) -> None:
        """A bank that is there if `chosen` takes blocks of one kind or of the other."""
        in_uram = self._model.new_bool_var("")
        in_bram = self._model.new_bool_var("")
        self._model.add(in_uram + in_bram == chosen)
        self._kept.append(_Kept(bank, in_bram, in_uram))

    def _bind(self) -> None:
        """Banks are where a design binds them: of its other kind only if its own is taken."""
        part = self._design.part
        bram = uram = 0
        for kept in sorted(self._kept, key=lambda kept: -kept.bank.bits):
            if part.uram and kept.bank.deep:
                taken = uram + kept.bank.urams > part.uram
                self._model.add(taken).only_enforce_if(kept.in_bram)
            else:
                taken = bram + kept.bank.brams > 2 * part.bram36
                self._model.add(taken).only_enforce_if(kept.in_uram)
            bram, uram = bram + kept.brams, uram + kept.urams

    def _limits(self) -> None:
        part = self._design.part
        # Block RAM is counted in halves.
        bram, uram = sum(kept.brams for kept in self._kept), sum(kept.urams for kept in self._kept)
        limits = (
            (bram, 2 * part.bram36, f"{part.bram36:,} BRAM36"),
            (uram, part.uram, f"{part.uram:,} UltraRAM"),
        )
        for taken, most, title in limits:
            self._model.add(taken <= most).only_enforce_if(self._reason(title))
        self._model.minimize(sum(taken * self._scale(most) for taken, most, _ in limits))

    def _scale(self, most: int) -> int:
        """What a block counts, so that the shares of both kinds weigh alike."""
        part = self._design.part
        return math.lcm(max(1, 2 * part.bram36), max(1, part.uram)) // max(1, most)

    def _reason(self, text: str) -> Any:
        self._reasons[text] = self._model.new_bool_var(text)
        return self._reasons[text]

    def _solver(self) -> Any:
        solver = self._cp.CpSolver()
        # One thread gives the same answer every time.
        solver.parameters.num_workers = 1
        solver.parameters.max_time_in_seconds = 10
        return solver
