"""What bounds a design, what to change first, and what that would bring."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from alula.cost import predict
from alula.design import Design, DesignError, load_design
from alula.design.engines import Mpe, Sfu
from alula.design.memory import Memory
from alula.explore.evaluation import answer
from alula.explore.models import model_of
from alula.explore.row import Row
from alula.explore.shortfall import of_design
from alula.explore.space import Question
from alula.progress import Progress, silent

_RECIPES = ("w4", "w3")
_NOTICED = 0.001
"""The share of a number from which on a change is one."""


@dataclass(frozen=True)
class Change:
    """A change of a design, or of the weights' formats.

    Attributes:
        fields: what is changed, by dotted key, or `recipe`.
        row: what comes of it.
        faster: tokens a second over those of the design, less 1.
        sooner: the time to the first token, likewise: above 0 it comes sooner.
        lut: look-up tables over those of the design, less 1.
    """

    fields: Mapping[str, Any]
    row: Row
    faster: float | None = None
    sooner: float | None = None
    lut: float | None = None

    @property
    def name(self) -> str:
        """The change in words."""
        return ", ".join(f"{key} {value}" for key, value in self.fields.items())


@dataclass(frozen=True)
class Explanation:
    """A design with a model, and what changes of it would bring.

    Attributes:
        question: what was asked.
        row: what the models say of it.
        prompt_accounts: cycles of the prompt by what they wait for.
        bound_by: what most of a token's cycles wait for: compute, memory, issue or dependency.
        prompt_bound_by: what most of the prompt's cycles wait for.
        changes: the most useful first; those that cannot be last.
    """

    question: Question
    row: Row
    prompt_accounts: Mapping[str, float]
    bound_by: str
    prompt_bound_by: str
    changes: list[Change]

    @property
    def first(self) -> Change | None:
        """The change that brings most tokens a second, or else the first one soonest."""
        useful = [change for change in self.changes if change.row.found]
        for gain in ("faster", "sooner"):
            best = max(useful, key=lambda one, gain=gain: getattr(one, gain) or 0.0, default=None)
            if best is not None and (getattr(best, gain) or 0.0) > _NOTICED:
                return best
        return None

    @property
    def spare(self) -> list[Change]:
        """Changes that take less of the part and slow nothing down."""
        return [
            change
            for change in self.changes
            if change.row.found
            and (change.faster or 0) > -_NOTICED
            and (change.sooner or 0) > -_NOTICED
            and _smaller(change.row, self.row)
        ]


def explain(
    design: str | Design,
    model: str,
    *,
    recipe: str | None = None,
    context: int = 512,
    prompt: int = 128,
    progress: Progress = silent,
) -> Explanation:
    """Return what bounds a design with a model, and what changes of it would bring.

    Args:
        design: a design, its file, or the name of one that ships.
        model: a known shape, or a model as for `alula.runtime.load`.
        recipe: of compression, for the weights' formats.
        context: tokens of the sequence whose last one is decoded.
        prompt: tokens of the prompt.
        progress: told of each change.

    Raises:
        DesignError: there is no such design or recipe.
        RunError, FrontendError: the model cannot be found or read.
        OSError: the cache cannot be written.
    """
    chosen = design if isinstance(design, Design) else load_design(design)
    question = Question(chosen, model_of(model, recipe, progress=progress), context, prompt)
    row = Row({"design": chosen.name})
    answer(question, row)
    if not row.found:
        return Explanation(question, row, {}, "", "", [])
    waits = _prompt_accounts(question, row)
    tried = list(_tried(chosen, recipe))
    changes = []
    for number, fields in enumerate(tried):
        progress("changes", number, len(tried))
        changes.append(_changed(question, row, fields, model))
    found = [one for one in changes if one.row.found and _noticed(one, row)]
    found.sort(key=lambda one: (-(one.faster or 0), -(one.sooner or 0)))
    lost = [one for one in changes if not one.row.found]
    return Explanation(question, row, waits, _largest(row.accounts), _largest(waits), found + lost)


def _tried(design: Design, recipe: str | None) -> Iterator[Mapping[str, Any]]:
    """One field each, a step up and a step down; memory's ports go with its beat."""
    ladder = (
        ("mpe.tokens", Mpe, design.mpe.tokens),
        ("sfu.lanes", Sfu, design.sfu.lanes),
    )
    for key, record, value in ladder:
        steps = _literals(record, key.rpartition(".")[2])
        yield from ({key: step} for step in _beside(steps, value))
    for beat in _beside(_literals(Memory, "beat_bytes"), design.memory.beat_bytes):
        fields = {"memory.beat_bytes": beat}
        if design.memory.ports > 1:
            fields["memory.ports"] = design.memory.ports * beat // design.memory.beat_bytes
        yield fields
    for name in ("stream", "vector", "activation", "staging", "program"):
        value = getattr(design.buffers, f"{name}_kib")
        yield {f"buffers.{name}_kib": 2 * value}
        if value > 1:
            yield {f"buffers.{name}_kib": value // 2}
    yield {"prefill_chunk": 2 * design.prefill_chunk}
    yield {"prefill_chunk": design.prefill_chunk // 2}
    if design.cores > 1 or design.memory.channels > 1:
        yield from ({"cores": count} for count in (design.cores - 1, design.cores + 1) if count)
    yield {"clock_mhz": round(1.25 * design.clock_mhz)}
    yield from ({"recipe": name} for name in _RECIPES if name != recipe)


def _changed(question: Question, before: Row, fields: Mapping[str, Any], model: str) -> Change:
    """What comes of a change."""
    row = Row(fields)
    try:
        if "recipe" in fields:
            changed, own = question.design, model_of(model, fields["recipe"])
        else:
            changed, own = question.design.replace(fields), question.model
    except DesignError as error:
        row.shortfall = of_design(error)
        return Change(fields, row)
    answer(Question(changed, own, question.context, question.prompt), row)
    if not row.found:
        return Change(fields, row)
    return Change(
        fields,
        row,
        faster=_ratio(row.tokens_per_s, before.tokens_per_s),
        sooner=_ratio(before.ttft_s, row.ttft_s),
        lut=_ratio(row.lut, before.lut),
    )


def _prompt_accounts(question: Question, row: Row) -> Mapping[str, float]:
    design = question.design.replace({"clock_mhz": round(row.mhz or question.design.clock_mhz)})
    model = question.model
    return predict(
        design,
        model.shape,
        "prefill",
        question.prompt,
        precision=model.formats.precision,
        context=question.tokens,
    ).accounts


def _noticed(change: Change, before: Row) -> bool:
    """Whether a change is one of anything that counts."""
    gains = (change.faster, change.sooner, change.lut)
    blocks = (_ratio(getattr(change.row, one), getattr(before, one)) for one in ("bram36", "uram"))
    return any(abs(gain or 0) > _NOTICED for gain in (*gains, *blocks))


def _smaller(row: Row, before: Row) -> bool:
    """Whether less of something is taken, and more of nothing."""
    pairs = [
        (getattr(row, name), getattr(before, name)) for name in ("lut", "dsp", "bram36", "uram")
    ]
    return all(own <= other for own, other in pairs) and any(own < other for own, other in pairs)


def _literals(record: type, field: str) -> list[int]:
    """The values that a field may have, in order."""
    return sorted(get_args(record.model_fields[field].annotation))  # type: ignore[attr-defined]


def _beside(steps: list[int], value: int) -> list[int]:
    place = steps.index(value)
    return [*steps[place + 1 : place + 2], *steps[max(0, place - 1) : place]]


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other - 1 if one is not None and other else None


def _largest(accounts: Mapping[str, float]) -> str:
    return max(accounts, key=lambda name: accounts[name])
