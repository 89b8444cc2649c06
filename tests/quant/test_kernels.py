"""What a CPU does in one pass gives the bits of torch's many passes, which other devices take."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from alula.isa.functions import FUNCTIONS
from alula.quant import functions, integers, operations
from alula.quant.arithmetic import product

seeds = st.integers(0, 2**31)
scales = st.sampled_from([0.0, 1e-30, 1e-3, 1.0, 40.0, 1e30])


@pytest.fixture(scope="module", autouse=True)
def two_threads() -> Iterator[None]:
    """Rows are dealt out."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def drawn(seed: int, *shape: int, scale: float = 1.0) -> Tensor:
    """Numbers of very different size, zeros among them, none subnormal or negative zero."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator) * scale
    x *= 2.0 ** torch.randint(-8, 9, shape, generator=generator)
    return torch.where((x.abs() < 2.0**-126) | (torch.rand(shape, generator=generator) < 0.1), 0, x)


def same(found: Tensor, wanted: Tensor) -> None:
    assert found.shape == wanted.shape
    assert torch.equal(found.view(torch.int32), wanted.contiguous().view(torch.int32))


@settings(max_examples=60)
@given(st.integers(1, 5), st.integers(1, 200), seeds, scales)
def test_quantise(rows: int, width: int, seed: int, scale: float) -> None:
    x = drawn(seed, 2, rows, width, scale=scale)
    found, wanted = integers.quantize_rows(x), integers._quantize_rows(x)
    assert found.scaled.dtype == torch.int8
    assert torch.equal(found.wide()[..., :width], wanted.scaled)
    assert not found.scaled[..., width:].any()
    assert torch.equal(found.exponent, wanted.exponent)


@settings(max_examples=60)
@given(st.integers(1, 5), st.integers(1, 200), seeds, scales, st.booleans())
def test_softmax(rows: int, width: int, seed: int, scale: float, shared: bool) -> None:
    x, factors = drawn(seed, 2, rows, width, scale=scale), drawn(seed + 1, 2, 1, width).abs()
    inside = torch.rand(1 if shared else 2, rows, width, generator=torch.manual_seed(seed)) < 0.6
    inside[..., 0] = True
    same(operations.softmax(x, inside, factors), operations._softmax(x, inside, factors))


@settings(max_examples=60)
@given(st.integers(1, 5), st.integers(1, 200), seeds, scales)
def test_rmsnorm(rows: int, width: int, seed: int, scale: float) -> None:
    x, gain = drawn(seed, 3, rows, width, scale=scale), drawn(seed + 1, width)
    for count in (None, max(1, width - 3)):
        one, other = (
            make(x, gain, 1e-5, count) for make in (operations.rmsnorm, operations._rmsnorm)
        )
        same(one, other)


@settings(max_examples=60)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 70), seeds, scales)
def test_rope(tokens: int, heads: int, half: int, seed: int, scale: float) -> None:
    x = drawn(seed, tokens, heads, 2 * half, scale=scale)
    turn = drawn(seed + 1, tokens, 1, half), drawn(seed + 2, tokens, 1, half)
    same(operations.rope(x, *turn), operations._rope(x, *turn))


@settings(max_examples=60)
@given(st.sampled_from([*FUNCTIONS]), st.integers(1, 5), st.integers(1, 70), seeds, scales)
def test_activation(name: str, rows: int, width: int, seed: int, scale: float) -> None:
    x, factor = drawn(seed, rows, width, scale=scale), drawn(seed + 1, rows, width)
    wanted = functions._activation(FUNCTIONS[name], x)
    same(functions.activation(FUNCTIONS[name], x), wanted)
    same(functions.activation(FUNCTIONS[name], x, factor), product(wanted, factor))


@pytest.mark.skipif(not integers.multiplies_bytes(), reason="this CPU saturates")
@settings(max_examples=120)
@given(
    st.integers(1, 40),
    st.integers(1, 200),
    st.integers(1, 40),
    seeds,
    st.sampled_from([100, 127, 2600, 32639]),
    st.booleans(),
)
def test_multiply(rows: int, width: int, outputs: int, seed: int, most: int, scaled: bool) -> None:
    """Weights of a byte and of two, of every length; extremes are drawn often."""
    x = integers.quantize_rows(drawn(seed, rows, width))
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randint(-most, most + 1, (outputs, width), generator=generator).short()
    weights[torch.rand(weights.shape, generator=generator) < 0.3] = -most
    c = drawn(seed + 2, outputs) if scaled else None
    wanted = integers._multiply_wide(x, weights, c)
    same(integers.multiply(x, integers.WeightBytes.of(weights), c), wanted)
    same(integers.multiply(x, weights, c), wanted)
    batch = integers.Activations(x.scaled[None], x.exponent[None])
    factor = None if c is None else c[None]
    same(integers.multiply(batch, weights[None], factor), wanted[None])


def test_a_cpu_that_saturates_multiplies_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe is what decides: a product that is off by one is not used."""
    right = integers._byte_product
    integers.multiplies_bytes.cache_clear()
    monkeypatch.setattr(integers, "_byte_product", lambda a, b: right(a, b) - 1)
    assert not integers.multiplies_bytes()
    x, weights = integers.quantize_rows(drawn(3, 4, 64)), torch.full((5, 64), 700).short()
    same(integers.multiply(x, weights, None), integers._multiply_wide(x, weights, None))
    integers.multiplies_bytes.cache_clear()


def test_weights_beyond_two_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"weights must be within 16 bits, not -40000 to 3"):
        integers.WeightBytes.of(torch.tensor([[-40000, 3]]))
