"""Steps of fixed shapes: the bits of the integer reference, and the numbers of the float one."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.shapes import FAMILIES, RandomCheckpoint
from torch._dynamo.exc import TorchDynamoException

from alula.frontend.float_reference import FloatReference
from alula.quant import QuantizedModel, padded
from alula.quant.reference import IntegerReference
from alula.runtime.executor import Executor
from alula.runtime.fixed_units import (
    FixedUnits,
    _first_largest,
    _Key,
    fixed_float,
    fixed_integer,
)
from alula.runtime.split import Phase, Segment, Target, parse_split
from alula.runtime.torch_units import FloatUnits, IntegerUnits
from alula.runtime.worker import Output

CPU = torch.device("cpu")
CONTEXT = 96
PROMPT = [7, 100, 33, 150, 4, 90, 91] * 5


def as_graphs(units: FixedUnits, monkeypatch: pytest.MonkeyPatch) -> FixedUnits:
    """The same steps as on a GPU, padded and of few shapes, but neither compiled nor recorded."""
    monkeypatch.setattr(units, "_graphs", True)
    monkeypatch.setattr(units, "_recorded", lambda key, step: step)
    return units


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_of_the_largest_logits_the_first_is_chosen(kind: torch.dtype) -> None:
    """As the machine model chooses; torch's own argmax says nothing of equals."""
    logits = torch.full((5000,), -2.0, dtype=kind)
    logits[[700, 41, 4999, 2048]] = 3.0
    assert int(_first_largest(logits)) == 41
    assert int(_first_largest(-logits)) == 0


def answer(executor: Executor, count: int) -> tuple[list[int], list[np.ndarray]]:
    """Greedy tokens and the logits they were chosen from."""
    tokens, logits = [], []
    phase: Phase = "prefill"
    ids, position = PROMPT, 0
    for _ in range(count):
        output = executor.forward(phase, ids, position, logits=True)
        assert output.token is not None
        assert output.logits is not None
        tokens.append(output.token)
        logits.append(output.logits)
        position += len(ids)
        phase, ids = "decode", [output.token]
    return tokens, logits


def executor(family: str, text: str, make: Callable[[], object]) -> Executor:
    split = parse_split(text, FAMILIES[family].units)
    return Executor(split, {target: make() for target in split.targets})  # type: ignore


@pytest.mark.parametrize("padding", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_integers_bit_for_bit(family: str, padding: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = QuantizedModel(RandomCheckpoint(FAMILIES[family]))

    def make() -> FixedUnits:
        units = fixed_integer(model, CPU, CONTEXT)
        return as_graphs(units, monkeypatch) if padding else units

    plain = executor(family, "*=torch", lambda: IntegerUnits(IntegerReference(model)))
    expected = answer(plain, 4)
    text = "prefill:layers.0=torch:cpu:1,decode:layers.1=torch:cpu:1,*=torch"
    tokens, logits = answer(executor(family, text, make), 4)
    assert tokens == expected[0]
    for one, other in zip(logits, expected[1], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("padding", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_floats_are_those_of_the_reference(
    family: str, padding: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = padded(RandomCheckpoint(FAMILIES[family]))

    def make() -> FixedUnits:
        units = fixed_float(checkpoint, CPU, "torch-fp32", CONTEXT)
        return as_graphs(units, monkeypatch) if padding else units

    plain = executor(family, "*=torch-float", lambda: FloatUnits(FloatReference(checkpoint)))
    expected = answer(plain, 4)
    tokens, logits = answer(executor(family, "*=torch-fp32", make), 4)
    assert tokens == expected[0]
    for one, other in zip(logits, expected[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("kind", ["torch-bf16", "torch-fp16"])
def test_half_types_are_near(kind) -> None:
    checkpoint = RandomCheckpoint(FAMILIES["llama"])
    plain = executor("llama", "*=torch-float", lambda: FloatUnits(FloatReference(checkpoint)))
    near = executor("llama", f"*={kind}", lambda: fixed_float(checkpoint, CPU, kind, CONTEXT))
    one, other = (answer(each, 1)[1][0] for each in (plain, near))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99


def test_keys_and_values_cross_in_the_contracts_format() -> None:
    checkpoint = RandomCheckpoint(FAMILIES["llama"])
    units = fixed_float(checkpoint, CPU, "torch-fp32", CONTEXT)
    plain = FloatUnits(FloatReference(checkpoint))
    for worker in (units, plain):
        split = parse_split("*=torch-fp32", FAMILIES["llama"].units)
        Executor(split, {Target("torch-fp32", "cpu"): worker}).forward("prefill", PROMPT, 0)
    rows, expected = units.read_kv(1, 2, 20), plain.read_kv(1, 2, 20)
    np.testing.assert_allclose(rows.k_scale, expected.k_scale, rtol=0.01)
    assert np.abs(rows.k.astype(int) - expected.k).max() <= 1
    units.write_kv(0, 2, rows)
    again = units.read_kv(0, 2, 20)
    np.testing.assert_array_equal(again.v, rows.v)
    np.testing.assert_array_equal(again.v_scale, rows.v_scale)


def test_logits_of_several_rows() -> None:
    checkpoint = RandomCheckpoint(FAMILIES["llama"])
    model = QuantizedModel(checkpoint)
    split = parse_split("*=torch", FAMILIES["llama"].units)
    target = Target("torch-int", "cpu")

    def rows(worker: object) -> Output:
        executor = Executor(split, {target: worker})  # type: ignore[dict-item]
        return executor.forward("prefill", PROMPT, 0, rows=9, logits=True)

    expected = rows(IntegerUnits(IntegerReference(model))).logits
    found = rows(fixed_integer(model, CPU, CONTEXT)).logits
    np.testing.assert_array_equal(found, expected)


def test_of_equal_logits_the_first_counts() -> None:
    from alula.runtime.fixed_units import _first_largest

    logits = torch.tensor([1.0, 5.0, 2.0, 5.0])
    assert int(_first_largest(logits)) == 1


def test_lengths_at_which_steps_change_their_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = padded(RandomCheckpoint(FAMILIES["llama"]))
    units = fixed_float(checkpoint, CPU, "torch-fp32", 600)
    assert units.edges(600) == []
    # Steps of 1, 32 or 256 tokens that look at 256 or at all rows.
    prompts = {1, 2, 32, 33, 256, 257, 258, 288, 289, 512, 513, 514, 544, 545}
    assert as_graphs(units, monkeypatch).edges(600) == sorted(prompts | {255})


class Refused:
    """A compiler that fails, or that gives other bits."""

    def __init__(self, fails: bool, layer: Callable[..., torch.Tensor]) -> None:
        self.fails, self.layer = fails, layer

    def __call__(self, *given: object) -> torch.Tensor:
        if self.fails:
            raise TorchDynamoException("no\ncompiler")
        return self.layer(*given) * (1 + 2**-23)


@pytest.mark.parametrize(
    ("fails", "words"),
    [(True, "failed: no compiler; it runs as it is"), (False, "contract's bits")],
)
def test_a_layer_that_cannot_be_compiled_runs_as_it_is(
    fails: bool, words: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = QuantizedModel(RandomCheckpoint(FAMILIES["llama"]))
    units = fixed_integer(model, CPU, CONTEXT)
    reference = IntegerReference(model)
    monkeypatch.setattr(units, "_graphs", True)
    monkeypatch.setattr(units, "_graph", lambda key, step: step)
    monkeypatch.setattr(units, "_compiled", lambda: Refused(fails, reference.run_layer))
    split = parse_split("*=torch", FAMILIES["llama"].units)
    plain = executor("llama", "*=torch", lambda: IntegerUnits(IntegerReference(model)))
    found = answer(Executor(split, {Target("torch-int", "cpu"): units}), 3)
    assert found[0] == answer(plain, 3)[0]
    assert len(caplog.messages) == 2
    assert all(words in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("family", "tokens"), [("llama", 1), ("llama", 32), ("qwen3", 1), ("gpt2", 1)]
)
def test_an_exact_layer_can_be_traced(
    family: str, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on CUDA, where the operations are torch's own: on a device without numbers, not built."""
    build = torch.compile
    monkeypatch.setattr(
        torch,
        "compile",
        lambda layer, *, options, **words: build(layer, backend="eager", **words),
    )
    model, nowhere = QuantizedModel(RandomCheckpoint(FAMILIES[family])), torch.device("meta")
    units = fixed_integer(model, nowhere, CONTEXT)
    segment = Segment(Target("torch-int", "meta"), True, range(2), True)
    key = _Key(segment, tokens, CONTEXT)
    # As in `_recorded` the plain step comes first, which makes the tables.
    hidden, _, _ = units._plain(key, units._reference.run_layer).run()
    assert units._plain(key, units._compiled()).run()[0].shape == hidden.shape
