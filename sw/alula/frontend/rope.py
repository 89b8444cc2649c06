"""Rope frequencies with the context scaling that model files ask for."""

from __future__ import annotations

import math


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
