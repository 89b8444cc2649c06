"""The SFU's instructions on torch tensors, as docs/reference/numerics.md states them."""

from collections.abc import Callable

import torch
from torch import Tensor

from alula.quant import kernels
from alula.quant.arithmetic import constant, difference, product, total, tree_sum, unsigned_sum
from alula.quant.functions import exp, recip, rsqrt


def _mean(
    terms: Tensor, count: int | None = None, add: Callable[[Tensor], Tensor] = tree_sum
) -> Tensor:
    return product(add(terms), constant(1 / (count or terms.shape[-1]), terms))


def _mean_square(x: Tensor, count: int | None = None) -> Tensor:
    return _mean(product(x, x), count, unsigned_sum)


def rmsnorm(x: Tensor, gain: Tensor, eps: float, count: int | None = None) -> Tensor:
    """RMSNORM over the last dimension, of which the mean counts `count` elements (None: all)."""
    if x.device.type == "cpu":
        return kernels.rmsnorm(x, gain, eps, count or x.shape[-1])
    return _rmsnorm(x, gain, eps, count)


def _rmsnorm(x: Tensor, gain: Tensor, eps: float, count: int | None = None) -> Tensor:
    r = rsqrt(total(_mean_square(x, count), constant(eps, x)))
    return product(product(x, r), gain)


def layernorm(x: Tensor, gain: Tensor, bias: Tensor, eps: float) -> Tensor:
    """LAYERNORM over the last dimension."""
    d = difference(x, _mean(x))
    r = rsqrt(total(_mean_square(d), constant(eps, x)))
    return total(product(product(d, r), gain), bias)


def softmax(x: Tensor, inside: Tensor, factors: Tensor) -> Tensor:
    """SOFTMAX of rows ``[..., T, n]`` over the entries that are `inside`, times `factors`.

    Both broadcast to `x`. All other entries are zero. Where those that are inside do not follow
    each other, whole runs of `PARTIAL_SUMS` entries must be left out: sums stay what they were.
    """
    if x.device.type == "cpu":
        return kernels.softmax(x, inside, factors)
    return _softmax(x, inside, factors)


def _softmax(x: Tensor, inside: Tensor, factors: Tensor) -> Tensor:
    largest = x.masked_fill(~inside, -torch.inf).amax(-1, keepdim=True)
    e = exp(difference(torch.where(inside, x, largest), largest))
    e = torch.where(inside, e, 0.0)
    return product(product(e, recip(unsigned_sum(e))), factors)


def rope(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """ROPE on heads ``[T, heads, dim]`` with tables ``[T, 1, dim / 2]``."""
    if x.device.type == "cpu":
        return kernels.rope(x, cosine, sine)
    return _rope(x, cosine, sine)


def _rope(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    first = difference(product(a, cosine), product(b, sine))
    second = total(product(b, cosine), product(a, sine))
    return torch.cat((first, second), dim=-1)
