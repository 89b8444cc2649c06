"""What quantisation reads of a model."""

from typing import Protocol

from alula.ir import Architecture
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
