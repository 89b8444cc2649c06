"""Matrices whose rows have several formats, band by band, and those that have one."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alula.ir.bands import Band, title_of
from alula.quant.floats import FloatArray
from alula.quant.matrix import QuantizedMatrix, quantize


@dataclass(frozen=True, eq=False)
class BandedMatrix:
    """A matrix whose bands of rows have formats of their own, the first rows first.

    Raises:
        ValueError: there are not several bands, or their inputs are not as many.
    """

    bands: tuple[QuantizedMatrix, ...]

    def __post_init__(self) -> None:
        if len(self.bands) < 2:
            raise ValueError(f"bands must be at least 2, not {len(self.bands)}")
        if len({band.shape[1] for band in self.bands}) > 1:
            found = ", ".join(str(band.shape[1]) for band in self.bands)
            raise ValueError(f"inputs of bands must be as many in each, not {found}")

    @property
    def shape(self) -> tuple[int, int]:
        """``(N, K)`` of all bands."""
        return sum(band.shape[0] for band in self.bands), self.bands[0].shape[1]

    @property
    def c(self) -> FloatArray:
        """Factors of all rows."""
        return np.concatenate([band.c for band in self.bands])

    def integers(self) -> NDArray[np.int16]:
        """The integer weights of all rows: what `c` multiplies."""
        return np.concatenate([band.integers() for band in self.bands])

    def dequantize(self) -> FloatArray:
        """The weights, float32 ``[N, K]``."""
        return np.concatenate([band.dequantize() for band in self.bands])


WeightMatrix = QuantizedMatrix | BandedMatrix


def joined(parts: Iterable[QuantizedMatrix]) -> WeightMatrix:
    """A matrix of its bands; of one that band itself."""
    first, *rest = parts
    return BandedMatrix((first, *rest)) if rest else first


def parts_of(matrix: WeightMatrix) -> tuple[QuantizedMatrix, ...]:
    """The bands of a matrix; itself if it has one format."""
    return matrix.bands if isinstance(matrix, BandedMatrix) else (matrix,)


def matrix_title(matrix: WeightMatrix) -> str:
    """The title of a matrix's format."""
    return title_of((part.layout.title, part.shape[0]) for part in parts_of(matrix))


def quantize_bands(weight: FloatArray, bands: Iterable[Band]) -> WeightMatrix:
    """The matrix of some bands nearest to `weight`; see `quantize`."""
    return joined(quantize(weight[band.span], band.format.title) for band in bands)
