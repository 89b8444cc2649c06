"""What would make a model fit: every change that is named has been tried."""

from collections.abc import Callable, Iterator

from alula.codegen.plan import ProgramPlan, attempt
from alula.design import GROUP, Design, DesignError, load_design, shipped_designs
from alula.ir import Architecture, Precision, build_graph
from alula.ir.padding import pad_heads
from alula.mapper import Lever, place

_ROUNDS = 8
"""Times that the fields of a design are raised; one is almost always enough."""


def levers(
    architecture: Architecture, design: Design, context: int, precision: Precision
) -> list[Lever]:
    """Every way to make a model fit by one kind of change, that with the least change of each.

    A shorter context, larger buffers on the same part, or another design that ships with Alula.
    """

    def proven(design: Design, context: int) -> bool:
        return isinstance(attempt(architecture, design, context, precision), ProgramPlan)

    found: list[Lever] = []
    shorter = _longest_context(architecture, design, context, precision)
    if shorter and proven(design, shorter):
        found.append({"--context": shorter})
    raised = _raised(architecture, design, context, precision)
    if raised:
        found.append(raised)
    others = [name for name, other in _others(design) if proven(other, context)]
    if others:
        found.append({"--design": " or ".join(others)})
    return found


def _longest_context(
    architecture: Architecture, design: Design, context: int, precision: Precision
) -> int | None:
    """The longest context below `context` that can be placed, None if none can."""
    graph = build_graph(pad_heads(architecture))
    most = min(context - 1, design.context_max, architecture.max_context)

    def placed(context: int) -> bool:
        return place(graph, design, context, precision).report.fits

    return _largest(most, placed)


def _largest(most: int, holds: Callable[[int], bool]) -> int | None:
    """The largest whole number of groups up to `most` for which a condition holds, or `most`."""
    if most < 1 or holds(most):
        return most if most >= 1 else None
    low, high = 0, -(-most // GROUP)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle * GROUP) else (low, middle)
    return low * GROUP if low else None


def _raised(
    architecture: Architecture, design: Design, context: int, precision: Precision
) -> Lever | None:
    """Fields of the design at the least values with which the model fits, None if none do."""
    changes: dict[str, int | str] = {}
    for _ in range(_ROUNDS):
        try:
            changed = design.replace(changes)
        except DesignError:
            return None
        report = attempt(architecture, changed, context, precision)
        if isinstance(report, ProgramPlan):
            return changes
        for item in report.items:
            if item.fits:
                continue
            if not item.key:
                return None
            value = _field(changed, item.key)
            changes[item.key] = max(value + 1, -(-item.demand * value // max(1, item.bound)))
    return None


def _field(design: Design, key: str) -> int:
    value: object = design
    for name in key.split("."):
        value = getattr(value, name)
    assert isinstance(value, int)
    return value


def _others(design: Design) -> Iterator[tuple[str, Design]]:
    for name in sorted(shipped_designs()):
        if name != design.name:
            yield name, load_design(name)
