"""A checkpoint's tensors in the number formats of the contract."""

import math
from collections.abc import Callable

import numpy as np

from alula.ir import Precision
from alula.ir.precision import HEAD
from alula.quant.banded import WeightMatrix, quantize_bands
from alula.quant.floats import FloatArray, clean, round_bf16
from alula.quant.padded import padded
from alula.quant.source import QuantizedSource, Source


class QuantizedModel:
    """A model as the machine holds it: padded, quantised, cleaned, the attention scale folded in.

    Nothing is kept: every call reads the checkpoint, and quantises anew what is stored as floats,
    so that memory stays at one matrix. The attention scale is folded into the query projection, or
    into the query norm's gain where there is one.

    Args:
        checkpoint: where tensors come from.
        precision: the formats of the matrices; None: those that the checkpoint stores them in,
            bit for bit, or the default if it stores floats.
        progress: called after each quantised matrix with its name and its number of weights.

    Attributes:
        architecture: the checkpoint's, its heads padded to whole groups.
        original: the checkpoint's as it is.
        precision: the formats of the matrices.
    """

    def __init__(
        self,
        checkpoint: Source,
        precision: Precision | None = None,
        progress: Callable[[str, int], None] | None = None,
    ) -> None:
        self.original = checkpoint.architecture
        self._checkpoint = padded(checkpoint)
        self.architecture = self._checkpoint.architecture
        self._stored = None
        if isinstance(checkpoint, QuantizedSource) and precision is None:
            self._stored, precision = checkpoint, checkpoint.precision
        self.precision = precision or Precision()
        self._progress = progress
        shape = self.architecture
        self._shapes = {
            f"layers.{layer}.{name}": size
            for layer in range(shape.layers)
            for name, size in shape.projections.items()
        }
        self._shapes[HEAD] = (shape.vocab_size, shape.hidden_size)

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """``(N, K)`` of every matrix, by name, in the order they are used; the head is the last."""
        return dict(self._shapes)

    def matrix(self, name: str) -> WeightMatrix:
        """``layers.{i}.attn.{q,k,v,o}``, ``layers.{i}.mlp.{gate,up,down}`` or ``lm_head``.

        Raises:
            KeyError: The model has no such matrix.
        """
        if name not in self._shapes:
            raise KeyError(f"the model has no matrix {name!r}")
        if self._stored is not None:
            result = self._stored.matrix(name)
        else:
            weight = self._scaled(f"{name}.weight", self._checkpoint.tensor(f"{name}.weight"))
            result = quantize_bands(weight, self.precision.bands(name, len(weight)))
        if self._progress is not None:
            self._progress(name, math.prod(result.shape))
        return result

    def vector(self, name: str) -> FloatArray | None:
        """A gain or a bias, cleaned float32, None if the model has none.

        `name` is the tensor's: ``layers.0.attn_norm.weight``, ``layers.0.attn.q.bias``,
        ``layers.0.attn.q_norm.weight``, ``final_norm.weight``.
        """
        shape = self.architecture.tensors().get(name)
        if shape is None or len(shape) != 1:
            return None
        return clean(self._scaled(name, self._checkpoint.tensor(name)))

    def embedding(self) -> FloatArray:
        """The token embeddings rounded to bf16, float32 ``[vocab_size, hidden_size]``."""
        return round_bf16(self._checkpoint.tensor("embed.weight"))

    def positions(self) -> FloatArray | None:
        """The learned positions, cleaned float32 ``[max_context, hidden_size]``, None with rope."""
        if self.architecture.position != "learned":
            return None
        return clean(self._checkpoint.tensor("embed.position"))

    def rope_table(self, length: int | None = None) -> FloatArray | None:
        """Cosines then sines of the first `length` positions (all if None).

        Cleaned float32 ``[length, head_dim]``, rounded from float64; None with learned positions.
        The angle of pair i at position p is ``p * rope_inverse_frequencies[i]``.
        """
        frequencies = self.architecture.rope_inverse_frequencies
        if frequencies is None:
            return None
        length = self.architecture.max_context if length is None else length
        angles = np.arange(length, dtype=np.float64)[:, None] * np.array(frequencies)
        return clean(np.concatenate((np.cos(angles), np.sin(angles)), axis=1))

    def _scaled(self, name: str, values: FloatArray) -> FloatArray:
        """`values` times the attention scale, rounded once, if this is a tensor that takes it."""
        parts = (
            ("attn.q_norm.weight",)
            if self.architecture.qk_norm
            else ("attn.q.weight", "attn.q.bias")
        )
        if not name.endswith(parts):
            return values
        return clean(values.astype(np.float64) * self.architecture.attention_scale)
