"""Every declared instruction has one meaning."""

import inspect

import pytest

from alula.isa import INSTRUCTIONS, Instruction
from alula.model.handlers import HANDLERS
from alula.model.handlers.registry import executes


def test_each_instruction_has_exactly_one_handler() -> None:
    assert sorted(HANDLERS) == sorted(instruction.name for instruction in INSTRUCTIONS)


@pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=lambda item: item.name)
def test_a_handler_takes_its_instructions_fields(instruction: Instruction) -> None:
    """In order; it may take more, of an instruction that has them and shares its meaning."""
    _, *parameters = inspect.signature(HANDLERS[instruction.name]).parameters.values()
    fields = [field.name for field in instruction.fields]
    renamed = {"len": "length", "type": "element"}
    taken, more = parameters[: len(fields)], parameters[len(fields) :]
    assert [one.name for one in taken] == [renamed.get(name, name) for name in fields]
    assert all(one.default is not one.empty for one in more)


def test_a_second_handler_is_refused() -> None:
    with pytest.raises(ValueError, match="MV must have one handler, not two"):
        executes("MV")(lambda: None)
