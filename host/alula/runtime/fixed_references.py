"""References whose steps have fixed shapes and never wait for the host: what a graph can hold."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from alula.frontend.float_reference import FloatReference
from alula.quant.blocks import attended
from alula.quant.cache import FixedCache, LayerCache
from alula.quant.integers import WeightBytes
from alula.quant.model import QuantizedModel
from alula.quant.reference import IntegerReference
from alula.quant.source import Source

_SHARE = 0.5
"""Of a GPU's free memory, what weights widened to float64 may take."""


class FixedFloat(FloatReference):
    """The model's own weights in fp32, bf16 or fp16; attention over a fixed number of rows.

    Args:
        checkpoint: the model.
        device: where it runs.
        dtype: of weights, hidden states, keys and values.
        capacity: tokens that there is room for.
    """

    def __init__(
        self, checkpoint: Source, device: torch.device, dtype: torch.dtype, capacity: int
    ) -> None:
        super().__init__(checkpoint, device)
        self._dtype = dtype
        self._capacity = capacity

    def unit(self, name: str) -> dict[str, Tensor]:
        """A unit's tensors in the reference's type; see `FloatReference.unit`."""
        if name not in self._weights:
            found = super().unit(name)
            tied = name == "head" and self.architecture.tied_head
            self._weights[name] = {
                key: value if tied and key == "lm_head.weight" else value.to(self._dtype)
                for key, value in found.items()
            }
        return self._weights[name]

    def fixed_caches(self) -> list[FixedCache]:
        """Caches, one for each layer."""
        shape = self.architecture
        rows = torch.zeros(
            (0, shape.kv_heads, shape.head_dim), dtype=self._dtype, device=self.device
        )
        return [FixedCache(self._capacity, keys=rows, values=rows) for _ in range(shape.layers)]

    def turn(self, positions: Tensor) -> tuple[Tensor, Tensor] | None:
        """Cosine and sine of positions; None without rope."""
        if self.architecture.position != "rope":
            return None
        if self._rope_table is None:
            angles = self._angles(self.architecture.max_context)
            self._rope_table = angles.cos().to(self._dtype), angles.sin().to(self._dtype)
        return self._rope(positions)

    def _rope(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        assert self._rope_table is not None
        cosine, sine = self._rope_table
        return cosine[positions, None], sine[positions, None]

    def _integers(self, name: str, values: Tensor | Sequence[int], limit: int) -> Tensor:
        assert isinstance(values, Tensor)
        return values

    def _attend(
        self, queries: Tensor, keys: Tensor, values: Tensor, cache: LayerCache | None
    ) -> Tensor:
        """Attention over all rows of a fixed cache, those that a token may not see masked.

        Query heads that share a KV head are rows of one product.
        """
        assert isinstance(cache, FixedCache)
        shape, (tokens, heads, dim) = self.architecture, queries.shape
        shared = heads // shape.kv_heads
        rows = queries.view(tokens, shape.kv_heads, shared, dim).permute(1, 0, 2, 3)
        rows = rows.reshape(shape.kv_heads, tokens * shared, dim)
        scores = (rows @ keys.permute(1, 2, 0)).float() * shape.attention_scale
        if shape.attention_cap is not None:
            scores = shape.attention_cap * torch.tanh(scores / shape.attention_cap)
        masks = attended(shape.blocks, cache.seen(tokens), keys.shape[0])
        inside = reduce(torch.logical_or, masks).repeat_interleave(shared, dim=-2)
        weights = scores.masked_fill(~inside, -torch.inf).softmax(-1).to(values.dtype)
        mixed = weights @ values.transpose(0, 1)
        mixed = mixed.view(shape.kv_heads, tokens, shared, dim).permute(1, 0, 2, 3)
        return mixed.reshape(tokens, heads, dim)


class FixedInteger(IntegerReference):
    """The contract's integers, bit for bit, in steps of fixed shapes.

    On a GPU matrices are widened to float64 once, if memory allows.

    Args:
        model: the quantised model.
        device: where it runs.
        capacity: tokens that there is room for.
    """

    def __init__(self, model: QuantizedModel, device: torch.device, capacity: int) -> None:
        super().__init__(model, device)
        self._capacity = capacity
        self._wide = False
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            self._wide = 8 * self.architecture.parameters < _SHARE * free

    def fixed_caches(self) -> list[FixedCache]:
        """Caches, one for each layer."""
        shape = self.architecture
        rows = torch.zeros(
            (0, shape.kv_heads, shape.head_dim), dtype=torch.int8, device=self.device
        )
        scales = torch.zeros((0, shape.kv_heads), device=self.device)
        columns: dict[str, Any] = {
            "keys": rows,
            "key_scales": scales,
            "values": rows,
            "value_scales": scales,
        }
        return [FixedCache(self._capacity, **columns) for _ in range(shape.layers)]

    def turn(self, positions: Tensor) -> tuple[Tensor, Tensor] | None:
        """Cosine and sine of positions; None without rope."""
        if self.architecture.position != "rope":
            return None
        if "rope" not in self._tables:
            table = self._model.rope_table()
            assert table is not None
            self._tables["rope"] = torch.from_numpy(table).to(self.device)
        cosine, sine = self._tables["rope"][positions, None].chunk(2, dim=-1)
        return cosine, sine

    def _kept(self, integers: Tensor) -> Tensor | WeightBytes:
        held = super()._kept(integers)
        return held.double() if self._wide and isinstance(held, Tensor) else held

    def _integers(self, name: str, values: Tensor | Sequence[int], limit: int) -> Tensor:
        assert isinstance(values, Tensor)
        return values
