"""Rope frequencies with the context scaling that model files ask for."""

import math
from collections.abc import Sequence


def inverse_frequencies(head_dim: int, theta: float) -> tuple[float, ...]:
    """Radians a position for the ``head_dim / 2`` pairs: ``theta ** (-2i / head_dim)``."""
    return tuple(theta ** (-2 * i / head_dim) for i in range(head_dim // 2))


def linear(frequencies: tuple[float, ...], factor: float) -> tuple[float, ...]:
    """Positions ``factor`` times closer together."""
    return tuple(frequency / factor for frequency in frequencies)


def llama3(
    frequencies: tuple[float, ...],
    *,
    factor: float,
    low_freq_factor: float,
    high_freq_factor: float,
    original_context: int,
) -> tuple[float, ...]:
    """Llama 3.1's scaling: long waves ``factor`` times slower, short ones kept, a ramp between."""

    def scaled(frequency: float) -> float:
        turns = original_context * frequency / (2 * math.pi)
        if turns < low_freq_factor:
            return frequency / factor
        if turns > high_freq_factor:
            return frequency
        kept = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor)
        return (1 - kept) * frequency / factor + kept * frequency

    return tuple(scaled(frequency) for frequency in frequencies)


def yarn(
    frequencies: tuple[float, ...],
    theta: float,
    *,
    factor: float,
    original_context: int,
    fast: float,
    slow: float,
    truncate: bool,
) -> tuple[float, ...]:
    """YaRN (arXiv 2309.00071): as `llama3`, but the ramp is linear in the number of the pair.

    Args:
        frequencies: Those of `inverse_frequencies`.
        theta: Their base.
        factor: How many times longer the context became.
        original_context: Tokens of context before.
        fast: Pairs that turn more often than this in the original context are kept.
        slow: Pairs that turn less often are slowed by the factor.
        truncate: Whether the ends of the ramp are whole pairs.
    """
    size = 2 * len(frequencies)

    def pair_that_turns(times: float) -> float:
        return size * math.log(original_context / (times * 2 * math.pi)) / (2 * math.log(theta))

    first, last = pair_that_turns(fast), pair_that_turns(slow)
    if truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, size - 1)
    width = last - first or 0.001

    def scaled(pair: int, frequency: float) -> float:
        slowed = min(max((pair - first) / width, 0.0), 1.0)
        return frequency / factor * slowed + frequency * (1 - slowed)

    return tuple(scaled(pair, frequency) for pair, frequency in enumerate(frequencies))


def yarn_gain(factor: float, mscale: float = 0.0, mscale_all_dim: float = 0.0) -> float:
    """What YaRN multiplies queries and keys by."""

    def gain(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1 if factor > 1 else 1.0

    return gain(mscale) / gain(mscale_all_dim) if mscale and mscale_all_dim else gain(1.0)


def longrope(frequencies: tuple[float, ...], factors: Sequence[float]) -> tuple[float, ...]:
    """LongRoPE (arXiv 2402.13753): each pair slower by a factor of its own."""
    return tuple(frequency / factor for frequency, factor in zip(frequencies, factors, strict=True))


def longrope_gain(factor: float, original_context: int) -> float:
    """What LongRoPE multiplies queries and keys by, ``factor`` times beyond its context."""
    return math.sqrt(1 + math.log(factor) / math.log(original_context)) if factor > 1 else 1.0
