"""fp32 arithmetic of the contract on torch tensors, the same bits on every device.

Operands and results are float32 tensors whose values are +0 or normal. A product of two such values
is exact in float64; their sum is rounded once by float32 itself, and a sum below 2**-126 is exact.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import hardshrink, pad

from alula.isa.formats import PARTIAL_SUMS
from alula.quant.floats import LARGEST, SMALLEST

_FLUSHED = math.nextafter(SMALLEST, 0.0)
_FLUSHED_SINGLE = SMALLEST - 2.0**-149


def piece_size(device: torch.device) -> int:
    """Elements of a tensor to work on at a time: what a CPU's cache holds, or what fills a GPU."""
    return 1 << 18 if device.type == "cpu" else 1 << 24


def in_pieces(function: Callable[..., Tensor], *rows: Tensor) -> Tensor:
    """``function(*rows)`` for a function that treats each row of its arguments by itself."""
    first = rows[0]
    step = max(1, piece_size(first.device) * len(first) // max(1, first.numel()))
    if step >= len(first):
        return function(*rows)
    return torch.cat(
        [function(*part) for part in zip(*(row.split(step) for row in rows), strict=True)]
    )


_HELD: dict[str, Tensor] = {}
"""Numbers on devices, made once: a GPU would take as long for one as for a product."""


def constant(value: float, like: Tensor) -> Tensor:
    """A number rounded to float32, beside a tensor; nothing is copied from the host."""
    name = f"{value!r} {like.device}"
    if name not in _HELD:
        with torch.inference_mode(False):
            _HELD[name] = torch.full((), value, dtype=torch.float32, device=like.device)
    return _HELD[name]


def rounded(values: Tensor) -> Tensor:
    """``fl`` of exact float64 values."""
    return hardshrink(values, _FLUSHED).to(torch.float32).clamp_(-LARGEST, LARGEST)


def product(a: Tensor, b: Tensor) -> Tensor:
    """``fl(a * b)``, broadcast; one of them has a dimension at least."""
    # Beside a float64 number both are widened as they are multiplied, not before.
    return rounded(torch.addcmul(_zero(a.device), a, b))


def _zero(device: torch.device) -> Tensor:
    """A zero in float64."""
    name = f"zero {device}"
    if name not in _HELD:
        with torch.inference_mode(False):
            _HELD[name] = torch.zeros(1, dtype=torch.float64, device=device)
    return _HELD[name]


def total(a: Tensor, b: Tensor) -> Tensor:
    """``fl(a + b)``, broadcast."""
    return hardshrink(a + b, _FLUSHED_SINGLE).clamp_(-LARGEST, LARGEST)


def difference(a: Tensor, b: Tensor) -> Tensor:
    """``fl(a - b)``, broadcast."""
    return hardshrink(a - b, _FLUSHED_SINGLE).clamp_(-LARGEST, LARGEST)


def power_of_two(exponent: Tensor) -> Tensor:
    """``2.0 ** exponent`` in float64, for integers from -1022 to 1023."""
    return (exponent.to(torch.int64) + 1023 << 52).view(torch.float64)


def exponents(values: Tensor) -> Tensor:
    """``floor(log2(abs(values)))`` of normal float32 values as int32, -127 for zero."""
    return (values.contiguous().view(torch.int32) >> 23 & 0xFF) - 127


def tree_sum(terms: Tensor) -> Tensor:
    """SUM over the last dimension, which is kept with length 1."""
    return _in_order(terms, total)


def unsigned_sum(terms: Tensor) -> Tensor:
    """SUM of terms none of which is below 0, in a third of the operations.

    A sum of two of them is 0 or no less than either, so that none is below 2**-126; and what
    overflows stays the largest number whatever is added, so that it is made that at the end.
    """
    return _in_order(terms, torch.add).clamp_(max=LARGEST)


def _in_order(terms: Tensor, add: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    short = -terms.shape[-1] % PARTIAL_SUMS
    if short:
        terms = pad(terms, (0, short))
    rounds = terms.unflatten(-1, (-1, PARTIAL_SUMS))
    partial = rounds[..., 0, :]
    for index in range(1, rounds.shape[-2]):
        partial = add(partial, rounds[..., index, :])
    half = PARTIAL_SUMS // 2
    while half:
        partial = add(partial[..., :half], partial[..., half : 2 * half])
        half //= 2
    return partial
