"""The texts on which a model and Alula's reading are compared, and how long they can be."""

import math
from collections.abc import Collection, Iterator

import torch

from alula.ir.architecture import Architecture

_PRODUCTS = 3.6e11
"""Multiplications that the longest text may take: half a minute for both models on two cores."""

_NUMBERS = 2**27
"""Most numbers of the logits, and of a layer's attention scores: 512 MB each."""

_LEAST = 256
_SHORT = (*range(1, 10), 15, 16, 17, 31, 32, 33)
_PIECE = 256


def affordable_length(shape: Architecture) -> int:
    """Tokens of the longest text that is compared where nobody asks for more.

    It follows from the model's shape alone, never from the machine's speed.
    """
    token, square = _products(shape), shape.layers * shape.query_size
    root = (math.sqrt(token**2 + 4 * square * _PRODUCTS) - token) / (2 * square)
    root = min(root, _NUMBERS / shape.vocab_size, math.sqrt(_NUMBERS / shape.heads))
    return min(max(_LEAST, int(root) // _LEAST * _LEAST), shape.max_context)


def every_id_is_affordable(shape: Architecture) -> bool:
    """Whether texts with all of the vocabulary are compared."""
    return shape.vocab_size * _products(shape) <= _PRODUCTS / 3


def _products(shape: Architecture) -> int:
    """Multiplications of a token without its attention scores."""
    matrices = sum(outputs * inputs for outputs, inputs in shape.projections.values())
    return shape.layers * matrices + shape.vocab_size * shape.hidden_size


def proof_texts(shape: Architecture, longest: int, special: Collection[int]) -> Iterator[list[int]]:
    """Texts, the later the longer; the last has ``longest`` tokens.

    Short ones of every length, regular ones, those of special ids, then every id where that is
    affordable, then longer ones.

    Args:
        shape: The model's.
        longest: Tokens of the longest text.
        special: Ids that a model may treat in its own way.
    """
    generator = torch.Generator().manual_seed(2)

    def some(count: int) -> list[int]:
        return torch.randint(shape.vocab_size, (count,), generator=generator).tolist()

    texts = [some(length) for length in _SHORT]
    one, two = some(2)
    texts += [[one] * 16, [one, two] * 8, sorted(some(16)), sorted(some(16), reverse=True)]
    for marked in sorted(special):
        texts += [[marked, marked, *some(3), marked, *some(2)], [*some(3), *[marked] * 3]]
    yield from (text[:longest] for text in texts)
    if every_id_is_affordable(shape):
        order = torch.randperm(shape.vocab_size, generator=generator)
        yield from (piece.tolist() for piece in order.split(min(_PIECE, longest)))
    yield from (some(length) for length in _longer(shape, longest))


def _longer(shape: Architecture, longest: int) -> list[int]:
    """Lengths beyond the short ones up to the longest, odd and even.

    Each is a sixth longer than the one before, or where that is not affordable three times as long.
    """
    dense, sparse = ([longest], [longest])
    for lengths, factor in ((dense, 7 / 6), (sparse, 3.0)):
        while (shorter := int(lengths[-1] / factor)) > _SHORT[-1]:
            lengths.append(shorter)
    cost = sum(length * _products(shape) for length in dense)
    return sorted(dense if cost <= _PRODUCTS / 3 else sparse)
