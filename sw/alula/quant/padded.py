"""A checkpoint with its heads padded to whole groups: the same model, in a shape that fits."""

import numpy as np

from alula.ir.padding import head_places, pad_heads
from alula.quant.floats import FloatArray
from alula.quant.source import Source

_ROWS = ("attn.q", "attn.k", "attn.v")
_HEAD = ("attn.q_norm.weight", "attn.k_norm.weight")
_COLUMNS = "attn.o.weight"


class PaddedCheckpoint:
    """Adds zeros to the heads of a model, which changes nothing that it computes.

    The rows of queries, keys and values that are added are zeros, so the products of queries and
    keys stay what they are, and what the added values give meets columns of zeros.

    Args:
        source: the model.

    Attributes:
        architecture: the model's shape, its heads padded.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.architecture = pad_heads(source.architecture)
        self._size = source.architecture.head_dim
        self._places = list(head_places(self._size, self.architecture.head_dim))

    def tensor(self, name: str) -> FloatArray:
        """A tensor of the padded shape by its canonical name, float32."""
        values = self._source.tensor(name)
        if name.endswith(_HEAD):
            return self._pad(values, 0)
        unit, _, kind = name.rpartition(".")
        if unit.endswith(_ROWS) and kind in ("weight", "bias"):
            return self._pad(values, 0)
        return self._pad(values, 1) if name.endswith(_COLUMNS) else values

    def _pad(self, values: FloatArray, axis: int) -> FloatArray:
        """`values` with each run of a head's elements along `axis` spread over a padded head."""
        before, after = values.shape[:axis], values.shape[axis + 1 :]
        heads = values.shape[axis] // self._size
        padded = np.zeros((*before, heads, self.architecture.head_dim, *after), np.float32)
        spread = (*(slice(None),) * (axis + 1), self._places)
        padded[spread] = values.reshape(*before, heads, self._size, *after)
        return padded.reshape(*before, heads * self.architecture.head_dim, *after)


def padded(source: Source) -> Source:
    """The model with heads of whole groups: itself if they are."""
    whole = pad_heads(source.architecture) == source.architecture
    return source if whole else PaddedCheckpoint(source)
