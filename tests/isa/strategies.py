"""Hypothesis strategies drawn from the declarations: any legal instruction, any nest of loops."""

from hypothesis import strategies as st

from alula.isa.encoding import Op, Ref, Value
from alula.isa.fields import REGISTERS, Choice, Field, Immediate, Operand
from alula.isa.instructions import INSTRUCTIONS, LOOP_DEPTH, Engine, Instruction

registers = st.integers(0, REGISTERS - 1)
engine_sets = st.frozensets(st.sampled_from(Engine))


def edges(low: int, high: int) -> st.SearchStrategy[int]:
    """Whole numbers, the ends more often than chance would have it."""
    return st.sampled_from((low, high)) | st.integers(low, high)


def limits(field: Immediate) -> tuple[int, int]:
    if field.signed:
        return -(1 << field.bits - 1), (1 << field.bits - 1) - 1
    return 0, (1 << field.bits) - 1


def values(field: Field) -> st.SearchStrategy[Value]:
    """Any legal value of a field."""
    match field:
        case Operand():
            return st.builds(Ref, registers, edges(0, (1 << field.bits) - 1))
        case Immediate():
            return edges(*limits(field))
        case Choice():
            return st.sampled_from([choice for choice in field.choices if choice])
        case _:
            return registers


def ops_of(instruction: Instruction) -> st.SearchStrategy[Op]:
    """Any legal use of one instruction, with every field given."""
    fields = st.fixed_dictionaries({field.name: values(field) for field in instruction.fields})
    return st.builds(Op, st.just(instruction.name), fields, engine_sets, engine_sets)


def ops(*names: str) -> st.SearchStrategy[Op]:
    """Any legal instruction, or one of those named."""
    chosen = [item for item in INSTRUCTIONS if not names or item.name in names]
    return st.sampled_from(chosen).flatmap(ops_of)


STRAIGHT = [item.name for item in INSTRUCTIONS if item.name != "LOOP"]


@st.composite
def listings(draw: st.DrawFn, depth: int = LOOP_DEPTH) -> list[Op]:
    """A program text: instructions with loops whose bodies lie within it and within each other."""
    listing: list[Op] = []
    for _ in range(draw(st.integers(0, 3))):
        if depth and draw(st.booleans()):
            body = draw(listings(depth - 1))
            loop = draw(ops("LOOP"))
            listing += [Op("LOOP", {**loop.values, "body": len(body)}, loop.wait, loop.signal)]
            listing += body
        else:
            listing.append(draw(ops(*STRAIGHT)))
    return listing
