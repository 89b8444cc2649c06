"""Known shapes have as many parameters as was published of them."""

import pytest

from alula.ir.shapes import SHAPES

PARAMETERS = {
    "smollm2-135m": 134_515_008,
    "llama2-7b": 6_738_415_616,
    "llama3-8b": 8_030_261_248,
    "qwen3-0.6b": 596_049_920,
    "gemma3-270m": 268_098_176,
    "gpt2": 124_439_808,
}


@pytest.mark.parametrize("name", SHAPES)
def test_parameters(name: str) -> None:
    assert SHAPES[name].parameters == PARAMETERS[name]
