"""A checkpoint with its heads padded to whole groups: the same model, in a shape that fits."""

import numpy as np

from alula.ir.graph import whole_groups
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
        axis = _heads_axis(name)
        return values if axis is None else self._pad(values, axis)

    def _pad(self, values: FloatArray, axis: int) -> FloatArray:
        """`values` with each run of a head's elements along `axis` spread over a padded head."""
        before, after = values.shape[:axis], values.shape[axis + 1 :]
        heads = values.shape[axis] // self._size
        padded = np.zeros((*before, heads, self.architecture.head_dim, *after), np.float32)
        spread = (*(slice(None),) * (axis + 1), self._places)
        padded[spread] = values.reshape(*before, heads, self._size, *after)
        return padded.reshape(*before, heads * self.architecture.head_dim, *after)


def _heads_axis(name: str) -> int | None:
    """The axis of a tensor along which heads lie, None if it has none."""
    if name.endswith(_COLUMNS):
        return 1
    unit, _, kind = name.rpartition(".")
    rows = unit.endswith(_ROWS) and kind in ("weight", "bias")
    return 0 if rows or name.endswith(_HEAD) else None


def unpadded(name: str, values: FloatArray, head_dim: int) -> FloatArray:
    """What `PaddedCheckpoint` made `values` of: a tensor without the padding of its heads.

    Args:
        name: canonical, of the tensor.
        values: in the padded shape.
        head_dim: elements of a head without padding.
    """
    axis, whole = _heads_axis(name), whole_groups(head_dim)
    if axis is None or whole == head_dim:
        return values
    places = np.array(head_places(head_dim, whole))
    heads = values.shape[axis] // whole
    return values.take((np.arange(heads)[:, None] * whole + places).reshape(-1), axis)


def padded(source: Source) -> Source:
    """The model with heads of whole groups: itself if they are."""
    whole = pad_heads(source.architecture) == source.architecture
    return source if whole else PaddedCheckpoint(source)
