"""Which token comes next, given the logits."""

import math

import numpy as np
from numpy.typing import NDArray

from alula.runtime.errors import RunError


def check_length(max_new_tokens: int) -> None:
    """RunError unless an answer may have at least one token."""
    if max_new_tokens < 1:
        raise RunError(f"max_new_tokens must be at least 1, not {max_new_tokens}")


class Sampler:
    """Draws tokens: greedy at temperature 0, else from the softmax of logits / temperature.

    `top_k` keeps the k most likely tokens; `top_p` then keeps the fewest whose probabilities,
    renormalised and taken from the most likely down, sum to at least p. Among equal logits the
    lower id comes first. Each draw takes one number from `numpy.random.Generator(PCG64(seed))`, so
    a seed gives the same tokens wherever the logits are the same.

    Args:
        temperature: 0 or more.
        top_k: tokens to keep; 0 keeps all.
        top_p: probability to keep, above 0 and at most 1.
        seed: 0 or more; None takes one from the system.

    Raises:
        RunError: a value is out of range.
    """

    def __init__(
        self,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int | None = None,
    ) -> None:
        if not (math.isfinite(temperature) and temperature >= 0):
            raise RunError(f"temperature must be 0 or more, not {temperature:g}")
        if top_k < 0:
            raise RunError(f"top_k must be 0 or more, not {top_k}")
        if not 0 < top_p <= 1:
            raise RunError(f"top_p must be above 0 and at most 1, not {top_p:g}")
        if seed is not None and seed < 0:
            raise RunError(f"seed must be 0 or more, not {seed}")
        self.temperature = temperature
        self.top_k = top_k
        self.top_p = top_p
        self._random = np.random.Generator(np.random.PCG64(seed))

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken, which needs no logits on the host."""
        return self.temperature == 0

    def choose(self, logits: NDArray[np.float32]) -> int:
        """Return the id of the next token; `logits` is finite, [vocab_size]."""
        if self.greedy:
            return int(np.argmax(logits))
        ids = np.argsort(-logits, kind="stable")
        if self.top_k:
            ids = ids[: self.top_k]
        below = logits[ids].astype(np.float64) - float(logits[ids[0]])
        with np.errstate(over="ignore"):
            scaled = below / self.temperature
        cumulative = np.cumsum(np.exp(scaled))
        cumulative /= cumulative[-1]
        kept = int(np.searchsorted(cumulative, self.top_p)) + 1
        cumulative = cumulative[:kept]
        drawn = self._random.random() * cumulative[-1]
        return int(ids[np.searchsorted(cumulative, drawn, side="right")])
