"""Real numbers behind the codes of a model's matrices, which training moves."""

from collections.abc import Callable, Mapping
from itertools import groupby

import torch
from torch import Tensor

from alula.compress.descent import SCALE_MAX_SIGNED, largest
from alula.compress.grid import Codes, grouped, matrix_name
from alula.design import GROUP
from alula.isa.formats import DENSE, MIN_UNIT, SCALE_MAX, SparsityPattern

_SPREAD = 0.9
"""Of a level's range, where the latent weights that round to it start."""
_MARGIN = 0.95
"""Of the least weight that a pattern keeps, what the others of its run may be at the start."""


class Latents:
    """Latent weights, scales and mins of several matrices, flat, a row for each group of 32 inputs.

    What a model computes with are the codes of the latent values, rounded; gradients pass through
    the rounding (straight-through: Bengio et al., arXiv 1308.3432), those of scales and mins as in
    LSQ+ (Bhalgat et al., arXiv 2004.09576). Everything is counted in levels of its group, so that
    one rate of learning suits all. Latent weights start anywhere in the range of their level, drawn
    at random: where all start in the middle, a great many change level in the same few steps, and
    the model is lost.

    Args:
        codes: of each matrix by name, or of its bands (`named_codes`), where training starts.
        dense: what the rows of each of them were, float; what a pattern may come back to.
        folded: what was multiplied into a matrix's codes and is not in the weights that the model
            computes with; 1 for matrices that are not named.
        dtype: of `weights`.
        seed: of where latent weights start.

    Attributes:
        parameters: `weights` ``[G, 32]``, `scales` and `mins` ``[G, 1]`` of all groups, float32,
            with their gradients after `backward`.
        weights: what the model computes with, by name of the matrix, ``[N, K]``, leaves that take
            gradients.
    """

    def __init__(
        self,
        codes: Mapping[str, Codes],
        dense: Mapping[str, Tensor],
        folded: Mapping[str, float],
        dtype: torch.dtype,
        seed: int = 0,
    ) -> None:
        self._codes = dict(codes)
        device = next(iter(dense.values())).device
        rows = {name: one.s.numel() for name, one in codes.items()}
        ends = torch.tensor(list(rows.values())).cumsum(0).tolist()
        self._spans = {
            name: slice(end - count, end)
            for (name, count), end in zip(rows.items(), ends, strict=True)
        }
        self._unit = self._column(lambda one: one.c[:, None].expand_as(one.s)).to(device)
        self._s = self._column(lambda one: one.s).to(device)
        self._m = self._column(lambda one: one.m).to(device)
        self._low = self._column(lambda one: torch.full_like(one.s, one.low)).to(device)
        self._high = self._column(lambda one: torch.full_like(one.s, one.high)).to(device)
        self._scaled = self._column(lambda one: torch.full_like(one.s, one.format.metas)).to(device)
        self._shifted = self._column(lambda one: torch.full_like(one.s, one.has_mins)).to(device)
        self._most = torch.where(self._shifted > 0, SCALE_MAX, SCALE_MAX_SIGNED)
        self._gain = torch.empty_like(self._unit)
        for name, span in self._spans.items():
            self._gain[span] = self._unit[span] / folded.get(name, 1.0)
        self._kept = torch.cat([grouped(_kept(one)).flatten(0, 1) for one in codes.values()])
        self._kept = self._kept.to(device)
        self.parameters = {
            "weights": self._first(dense, folded, seed),
            "scales": torch.ones_like(self._s),
            "mins": torch.zeros_like(self._m),
        }
        for values in self.parameters.values():
            values.grad = torch.zeros_like(values)
        self._flat = torch.zeros(len(self._unit), GROUP, dtype=dtype, device=device)
        self._gradient = torch.zeros_like(self._flat)
        self.weights: dict[str, Tensor] = {}
        for name, found in groupby(codes, key=matrix_name):
            parts = list(found)
            weight = self.weights[name] = self._view(self._flat, *parts)
            weight.requires_grad_()
            weight.grad = self._view(self._gradient, *parts)
        self.quantise()

    @torch.no_grad()
    def quantise(self) -> None:
        """Make `weights` of the parameters as they are, and their gradients zero."""
        levels, s, m = self._rounded()
        self._flat.copy_((levels * s + MIN_UNIT * m) * self._gain * self._kept)
        self._gradient.zero_()

    @torch.no_grad()
    def backward(self) -> None:
        """Gradients of the parameters from those of `weights`."""
        real = self._real()[0]
        levels = torch.minimum(torch.maximum(real.round(), self._low), self._high)
        within = (real - levels).abs() <= 0.5
        gradient = self._gradient * self._gain
        weights, scales, mins = (values.grad for values in self.parameters.values())
        assert weights is not None
        assert scales is not None
        assert mins is not None
        torch.mul(gradient * within, self._s, out=weights)
        gradient *= self._kept
        lost = levels - real * within
        torch.sum(gradient * lost, 1, keepdim=True, out=scales)
        scales *= self._s * self._scaled
        torch.sum(gradient * ~within, 1, keepdim=True, out=mins)
        mins *= self._s * self._shifted

    @torch.no_grad()
    def select(self) -> int:
        """Choose anew which weights a pattern keeps: the largest. How many changed."""
        changed = 0
        sizes = self.parameters["weights"].abs()
        for name, codes in self._codes.items():
            if codes.format.pattern is DENSE:
                continue
            kept = largest(self._view(sizes, name), codes.format)
            old = self._view(self._kept, name)
            changed += int((kept & ~old).sum())
            old.copy_(kept)
        return changed

    @torch.no_grad()
    def decay(self, rate: float) -> None:
        """Take a share of `rate` from weights that are not kept (SR-STE: arXiv 2102.04010)."""
        self.parameters["weights"].mul_(torch.where(self._kept, 1.0, 1.0 - rate))

    @torch.no_grad()
    def codes(self) -> dict[str, Codes]:
        """The codes as they are, on the CPU."""
        levels, s, m = self._rounded()
        levels = levels * self._kept
        found = {}
        for name, old in self._codes.items():
            span, shape = self._spans[name], old.s.shape
            kept = None if old.kept is None else self._view(self._kept, name).cpu().clone()
            found[name] = Codes(
                old.format,
                self._view(levels, name).cpu().contiguous(),
                old.c.cpu(),
                s[span].view(shape).cpu(),
                m[span].view(shape).cpu(),
                kept,
            )
        return found

    def state(self) -> dict[str, Tensor]:
        """What `restore` takes: the parameters, and which weights are kept."""
        return {**self.parameters, "kept": self._kept}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a state."""
        for name, values in self.state().items():
            values.copy_(state[name])

    def _real(self) -> tuple[Tensor, Tensor, Tensor]:
        """Levels before rounding; integer scales and mins."""
        weights, scales, mins = self.parameters.values()
        size = (self._s * scales).abs().round_()
        size = torch.minimum(size.clamp_(min=1), self._most)
        s = torch.where(self._s < 0, -size, size)
        m = (self._m + mins * self._s / MIN_UNIT).round_()
        m = m.clamp_(-SCALE_MAX_SIGNED - 1, SCALE_MAX_SIGNED) * self._shifted
        return (weights * self._s - MIN_UNIT * m) / s, s, m

    def _rounded(self) -> tuple[Tensor, Tensor, Tensor]:
        real, s, m = self._real()
        return torch.minimum(torch.maximum(real.round_(), self._low), self._high), s, m

    def _first(self, dense: Mapping[str, Tensor], folded: Mapping[str, float], seed: int) -> Tensor:
        """Latent weights at the start: they round to the codes; others than kept are dense ones."""
        generator = torch.Generator().manual_seed(seed)
        step = self._s * self._unit
        rows = []
        for name, codes in self._codes.items():
            span = self._spans[name]
            drawn = torch.rand(codes.levels.shape, generator=generator)
            now = grouped(codes.levels + _SPREAD * (drawn - 0.5)).flatten(0, 1).to(step.device)
            if codes.kept is not None:
                other = grouped(dense[name] * folded.get(name, 1.0)).flatten(0, 1) / step[span]
                now = _below(other, now, self._kept[span], codes.format.pattern)
            rows.append(now)
        return torch.cat(rows) + MIN_UNIT * self._m / self._s

    def _column(self, of: Callable[[Codes], Tensor]) -> Tensor:
        return torch.cat([of(one).reshape(-1, 1).float() for one in self._codes.values()])

    def _view(self, flat: Tensor, *names: str) -> Tensor:
        """A matrix ``[N, K]``, or neighbouring bands of one, in an array of all groups."""
        rows = sum(len(self._codes[name].levels) for name in names)
        span = slice(self._spans[names[0]].start, self._spans[names[-1]].stop)
        return flat[span].view(rows, -1)[:, : self._codes[names[0]].levels.shape[1]]


def _kept(codes: Codes) -> Tensor:
    return torch.ones_like(codes.levels, dtype=torch.bool) if codes.kept is None else codes.kept


def _below(other: Tensor, now: Tensor, kept: Tensor, pattern: SparsityPattern) -> Tensor:
    """`now` where it is kept, else `other`, but less than the least that is kept of its run."""
    runs = (1, (-1, pattern.of))
    least = now.abs().where(kept, torch.inf).unflatten(*runs).amin(2, keepdim=True)
    bound = _MARGIN * least.expand(-1, -1, pattern.of).flatten(1)
    bound = bound.where(bound.isfinite(), 0)
    return torch.where(kept, now, torch.minimum(torch.maximum(other, -bound), bound))
