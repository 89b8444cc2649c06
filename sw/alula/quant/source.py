"""What quantisation reads of a model."""

from typing import Protocol, runtime_checkable

from alula.ir import Architecture, Precision
from alula.quant.banded import WeightMatrix
from alula.quant.floats import FloatArray


class Source(Protocol):
    """A checkpoint, as far as it is read here."""

    @property
    def architecture(self) -> Architecture:
        """The model's shape."""
        ...

    def tensor(self, name: str) -> FloatArray:
        """A tensor by its canonical name, float32."""
        ...


@runtime_checkable
class QuantizedSource(Source, Protocol):
    """A checkpoint whose matrices are stored in the contract's formats."""

    @property
    def precision(self) -> Precision:
        """The formats of the matrices."""
        ...

    def matrix(self, name: str) -> WeightMatrix:
        """A matrix as the machine holds it, heads padded and the attention scale folded in."""
        ...
