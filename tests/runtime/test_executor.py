"""A split model gives the tokens of the whole one, wherever units run and keys and values lie."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alula.frontend import Checkpoint, load
from alula.frontend.float_reference import FloatReference
from alula.quant import QuantizedModel
from alula.quant.reference import IntegerReference
from alula.runtime.executor import Executor
from alula.runtime.split import Phase, Target, parse_split
from alula.runtime.torch_units import FloatUnits, IntegerUnits
from alula.runtime.worker import Worker

PROMPT = [7, 100, 33, 250, 4, 90, 91]
A, B, C = (Target("torch-int", name) for name in "abc")


@pytest.fixture(scope="module")
def checkpoint(small_model: Path) -> Checkpoint:
    return load(small_model)


@pytest.fixture(scope="module")
def integer(checkpoint: Checkpoint) -> IntegerReference:
    return IntegerReference(QuantizedModel(checkpoint))


def answer(executor: Executor, prompt: list[int], count: int, position: int = 0) -> list[int]:
    """Greedy tokens after a prompt that continues `position` tokens."""
    tokens = []
    phase: Phase = "prefill"
    ids = prompt
    for _ in range(count):
        output = executor.forward(phase, ids, position)
        assert output.token is not None
        tokens.append(output.token)
        position += len(ids)
        phase, ids = "decode", [output.token]
    return tokens


def split_executor(text: str, units: tuple[str, ...], workers: Mapping[Target, Worker]) -> Executor:
    return Executor(parse_split(text, units), workers)


def test_whole_as_the_reference_has_it(checkpoint: Checkpoint, integer: IntegerReference) -> None:
    units = checkpoint.architecture.units
    target = Target("torch-int", "cpu")
    executor = split_executor("*=torch", units, {target: IntegerUnits(integer)})
    output = executor.forward("prefill", PROMPT, 0, rows=len(PROMPT), logits=True)
    expected = integer.logits(PROMPT).numpy()
    assert output.logits is not None
    np.testing.assert_array_equal(output.logits, expected)
    assert output.token == int(expected[-1].argmax())


PLACES = st.lists(st.sampled_from("abc"), min_size=5, max_size=5)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prefill=PLACES, decode=PLACES)
def test_any_split_gives_the_same_tokens(
    checkpoint: Checkpoint, integer: IntegerReference, prefill: list[str], decode: list[str]
) -> None:
    units = checkpoint.architecture.units
    rules = [
        f"{phase}:{unit}=torch:{place}"
        for phase, places in (("prefill", prefill), ("decode", decode))
        for unit, place in zip(units, places, strict=True)
    ]
    whole = split_executor("*=torch:a", units, {A: IntegerUnits(integer)})
    workers = {target: IntegerUnits(integer) for target in (A, B, C)}
    parts = split_executor(",".join(rules), units, workers)
    for executor in (whole, parts):
        answer(executor, PROMPT, 3)
    # A second turn that keeps five tokens: prefill again where decode had its keys and values.
    assert answer(parts, [8, 9], 3, position=5) == answer(whole, [8, 9], 3, position=5)


def test_forgets_what_lies_beyond(checkpoint: Checkpoint, integer: IntegerReference) -> None:
    units = checkpoint.architecture.units
    executor = split_executor("*=torch:a", units, {A: IntegerUnits(integer)})
    expected = answer(executor, PROMPT, 3)
    answer(executor, list(range(30)), 2)
    assert answer(executor, PROMPT, 3) == expected
    assert answer(executor, PROMPT[4:], 3, position=4) == expected


def test_float_beside_integer(checkpoint: Checkpoint, integer: IntegerReference) -> None:
    """Keys and values cross from fp32 to integers and back; what they say stays near."""
    units = checkpoint.architecture.units
    floats, integers = Target("torch-float", "cpu"), Target("torch-int", "cpu")
    text = "prefill:*=torch-float,decode:layers.1=torch-float,*=torch-int"
    reference = FloatReference(checkpoint)
    workers = {floats: FloatUnits(reference), integers: IntegerUnits(integer)}
    executor = split_executor(text, units, workers)
    executor.forward("prefill", PROMPT, 0)
    output = executor.forward("decode", [42], len(PROMPT), logits=True)
    assert output.logits is not None
    exact = reference.logits([*PROMPT, 42])[-1].numpy()
    assert np.corrcoef(output.logits[0], exact)[0, 1] > 0.95
    rows = workers[integers].read_kv(0, 0, len(PROMPT))
    assert rows.k.dtype == np.int8
    assert np.abs(rows.k).max() == 127
