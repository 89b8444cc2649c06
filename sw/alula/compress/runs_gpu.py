"""What `runs` does, in torch: all rows of a matrix side by side, for a GPU.

The arguments are those of `runs`, as tensors.
"""

import torch
from torch import Tensor


def compensate(
    work: Tensor,
    s: Tensor,
    offset: Tensor,
    factor: Tensor,
    kept: Tensor,
    low: float,
    high: float,
    levels: Tensor,
    errors: Tensor,
) -> None:
    """Levels of a run; each one's error goes to the inputs after it, and to `errors`."""
    inverse = torch.where(s == 0, 0, 1 / s)
    for k in range(work.shape[1]):
        value = work[:, k] - offset
        level = (value * inverse).round_().clamp_(low, high) * kept[:, k]
        error = (value - s * level) * kept[:, k] / factor[k, k]
        levels[:, k], errors[:, k] = level, error
        work[:, k + 1 :].addr_(error, factor[k, k + 1 :], alpha=-1)


def descend(
    gradient: Tensor,
    s: Tensor,
    moment: Tensor,
    kept: Tensor,
    low: float,
    high: float,
    levels: Tensor,
    change: Tensor,
) -> None:
    """Each level of a run becomes the best for all others; `change` is what weights moved by."""
    inverse = torch.where(s == 0, 0, 1 / s)
    for k in range(gradient.shape[1]):
        old = levels[:, k]
        new = torch.addcmul(old, gradient[:, k], inverse / moment[k, k]).round_().clamp_(low, high)
        moved = (new - old) * s * kept[:, k]
        levels[:, k], change[:, k] = new * kept[:, k], moved
        gradient.addr_(moved, moment[k], alpha=-1)


def prune(work: Tensor, factor: Tensor, most: int, kept: Tensor, errors: Tensor) -> None:
    """Keeps the `most` weights of a run that are dearest to lose; the others' errors go on."""
    price = work.abs() / factor.diagonal()
    chosen = price.topk(min(most, work.shape[1]), dim=1).indices
    kept.fill_(False).scatter_(1, chosen, True)
    for k in range(work.shape[1]):
        error = work[:, k] * ~kept[:, k] / factor[k, k]
        errors[:, k] = error
        work[:, k + 1 :].addr_(error, factor[k, k + 1 :], alpha=-1)
