"""The gains of a model's norms, which training moves."""

from collections.abc import Iterator

import torch
from torch import Tensor

from alula.quant.source import Source


class Gains:
    """The gains of norms, each a factor times what it was.

    A step changes each by the same share: where activations are very large gains are very small.

    Attributes:
        shares: the factors of all gains, flat, with their gradient after `backward`.
        values: what the model computes with, by the name of the tensor.
    """

    def __init__(self, source: Source, device: torch.device) -> None:
        heads = ("q_norm.weight", "k_norm.weight")
        self._dense = {
            name: torch.from_numpy(source.tensor(name)).to(device)
            for name in source.architecture.tensors()
            if name.endswith("_norm.weight") and not name.endswith(heads)
        }
        self.values = {name: gain.clone().requires_grad_() for name, gain in self._dense.items()}
        for gain in self.values.values():
            gain.grad = torch.zeros_like(gain)
        self.shares = torch.ones(sum(map(len, self._dense.values())), device=device)
        self.shares.grad = torch.zeros_like(self.shares)

    @torch.no_grad()
    def multiply(self) -> None:
        """Make `values` of the factors as they are, and their gradients zero."""
        for share, dense, gain in self._each(self.shares):
            torch.mul(dense, share, out=gain)
            assert gain.grad is not None
            gain.grad.zero_()

    @torch.no_grad()
    def backward(self) -> None:
        """The gradient of `shares` from those of `values`."""
        assert self.shares.grad is not None
        for found, dense, gain in self._each(self.shares.grad):
            assert gain.grad is not None
            torch.mul(dense, gain.grad, out=found)

    def result(self) -> dict[str, Tensor]:
        """The gains as they are, on the CPU."""
        self.multiply()
        return {name: gain.detach().cpu().clone() for name, gain in self.values.items()}

    def _each(self, flat: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        sizes = [len(gain) for gain in self._dense.values()]
        return zip(flat.split(sizes), self._dense.values(), self.values.values(), strict=True)
