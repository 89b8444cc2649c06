"""Canonical tensors found in a source's own table of tensors."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alula.frontend.checkpoint import FloatArray
from alula.frontend.refusal import FrontendError, Refusal
from alula.ir.architecture import Architecture

Shape = tuple[int, ...]


@dataclass(frozen=True)
class TensorSource:
    """Where a canonical tensor lies: a tensor of the source, its shape there, the way over.

    A constant has no source: its conversion gets zeros of its shape.
    """

    source: str | None
    shape: Shape
    convert: Callable[[FloatArray], FloatArray]

    def read(self, read: Callable[[str], FloatArray]) -> FloatArray:
        """The canonical tensor, from a reader of the source's tensors."""
        if self.source is None:
            return self.convert(np.zeros(self.shape, np.float32))
        return self.convert(read(self.source))


def same(source: str, shape: Shape) -> TensorSource:
    """The source's tensor as it is."""
    return TensorSource(source, shape, lambda values: values)


def transposed(source: str, shape: Shape) -> TensorSource:
    """A tensor of canonical ``shape`` that the source stores as ``[inputs, outputs]``."""
    return TensorSource(source, shape[::-1], lambda values: values.T)


def rows(piece: TensorSource, start: int, stop: int) -> TensorSource:
    """Rows ``start:stop`` of what ``piece`` gives."""
    return TensorSource(piece.source, piece.shape, lambda values: piece.convert(values)[start:stop])


def constant(shape: Shape, value: float) -> TensorSource:
    """A tensor that the source does not have, since it is ``value`` everywhere."""
    return TensorSource(None, shape, lambda values: values + np.float32(value))


def more(piece: TensorSource, summand: float) -> TensorSource:
    """What ``piece`` gives plus a number, in float32."""
    return TensorSource(
        piece.source, piece.shape, lambda values: piece.convert(values) + np.float32(summand)
    )


def times(piece: TensorSource, factor: float | FloatArray) -> TensorSource:
    """What ``piece`` gives times a number, or times one for each row, in float32."""
    if isinstance(factor, float) and factor == 1:
        return piece
    factors = np.asarray(factor, np.float32)

    def convert(values: FloatArray) -> FloatArray:
        values = piece.convert(values)
        return values * factors.reshape(factors.shape + (1,) * (values.ndim - 1) * factors.ndim)

    return TensorSource(piece.source, piece.shape, convert)


def reordered(piece: TensorSource, heads: int, order: Sequence[int]) -> TensorSource:
    """Rows of each of ``heads`` heads moved: row ``i`` is what was row ``order[i]``."""

    def convert(values: FloatArray) -> FloatArray:
        values = piece.convert(values)
        apart = values.reshape(heads, len(order), *values.shape[1:])
        return apart[:, list(order)].reshape(values.shape)

    return TensorSource(piece.source, piece.shape, convert)


def half_split(piece: TensorSource, heads: int) -> TensorSource:
    """Rows of rope pairs that lie side by side (2i, 2i+1) moved half a head apart (i, i + d/2)."""

    def convert(values: FloatArray) -> FloatArray:
        values = piece.convert(values)
        pairs = values.shape[0] // heads // 2
        apart = values.reshape(heads, pairs, 2, *values.shape[1:]).swapaxes(1, 2)
        return apart.reshape(values.shape)

    return TensorSource(piece.source, piece.shape, convert)


def bind(
    architecture: Architecture,
    place: Callable[[str, Shape], TensorSource],
    table: Mapping[str, Shape],
    where: object,
) -> dict[str, TensorSource]:
    """Each canonical tensor with its piece of the source.

    Args:
        architecture: The shape by the configuration.
        place: Canonical name and shape to `TensorSource`.
        table: Every tensor the source has, with its shape there.
        where: The source, for messages.

    Raises:
        FrontendError: A tensor is missing or has another shape than the configuration says.
    """
    if architecture.layers > len(table):
        raise FrontendError(
            f"the tensors must be complete, not {len(table)} for {architecture.layers} layers "
            f"({where})"
        )
    pieces = {name: place(name, shape) for name, shape in architecture.tensors().items()}
    sources = {piece.source for piece in pieces.values() if piece.source is not None}
    missing = sorted(sources - table.keys())
    if missing:
        raise FrontendError(f"the tensors must be complete, not without {some(missing)} ({where})")
    for piece in pieces.values():
        if piece.source is None:
            continue
        actual = table[piece.source]
        if actual != piece.shape:
            raise FrontendError(
                f"{piece.source} must have the shape {piece.shape} by the configuration, "
                f"not {actual} ({where})"
            )
    return pieces


def surplus(
    pieces: Mapping[str, TensorSource],
    table: Collection[str],
    family: str,
    ignored: Callable[[str], bool],
) -> list[Refusal]:
    """A refusal if the source has tensors that no piece uses, since they would change the model.

    ``ignored`` is true for the names that no result depends on.
    """
    used = {piece.source for piece in pieces.values()}
    names = [name for name in table if name not in used and not ignored(name)]
    if not names:
        return []
    return [
        Refusal(
            "model", "tensors beyond the family", f"those of {family}", some(names), "without them"
        )
    ]


def some(names: list[str], count: int = 4) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
