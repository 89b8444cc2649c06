"""Torch integer: the quantised model, unit by unit, exact to the machine."""

from collections.abc import Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor

from alula.ir.architecture import Architecture
from alula.isa.functions import FUNCTIONS, SOFTCAP
from alula.quant.arithmetic import constant, difference, in_pieces, piece_size, product, total
from alula.quant.blocks import attended
from alula.quant.cache import IntegerCache
from alula.quant.functions import activation, distribution
from alula.quant.integers import (
    Activations,
    WeightBytes,
    check_exact,
    multiplies_bytes,
    multiply,
    quantize_kv,
    quantize_rows,
)
from alula.quant.model import QuantizedModel
from alula.quant.operations import layernorm, rmsnorm, rope, softmax
from alula.quant.units import UnitModel

Matrix = tuple[Tensor | WeightBytes, Tensor]
"""Integers ``[N, K]`` and their c ``[N]``."""
Weight = Matrix | Tensor
"""A matrix, or a vector."""
Weights = Mapping[str, Weight]
"""A unit's, by name: ``attn.q``, ``attn.q.bias``, ``attn_norm.weight``."""


class IntegerReference(UnitModel[IntegerCache]):
    """A quantised model run by torch in the contract's arithmetic, a unit at a time.

    The units are those of `Architecture.units`. A unit's weights are read when it first runs and
    kept: two bytes a weight. Hidden states are ``[tokens, hidden_size]``, float32, on `device`. The
    bits are the same on every device.

    Args:
        model: the quantised model.
        device: ``"cpu"`` or a CUDA device.

    Attributes:
        architecture: the model's.
        device: where everything is held.
    """

    def __init__(self, model: QuantizedModel, device: str | torch.device = "cpu") -> None:
        self.architecture: Architecture = model.architecture
        self.device = torch.device(device)
        self._model = model
        self._weights: dict[str, Weights] = {}
        self._tables: dict[str, Tensor] = {}

    def cache(self) -> list[IntegerCache]:
        """Empty caches, one for each layer."""
        shape = self.architecture
        return [
            IntegerCache(shape.kv_heads, shape.head_dim, self.device) for _ in range(shape.layers)
        ]

    @torch.inference_mode()
    def embed(self, ids: Tensor | Sequence[int], positions: Tensor | Sequence[int]) -> Tensor:
        """Hidden states of token ids at positions.

        Raises:
            ValueError: An id is not in the vocabulary or a position not in the context.
        """
        ids = self._integers("ids", ids, self.architecture.vocab_size)
        positions = self._integers("positions", positions, self.architecture.max_context)
        if "embed" not in self._tables:
            table = torch.from_numpy(self._model.embedding())
            self._tables["embed"] = table.to(self.device, torch.bfloat16)
        hidden = self._tables["embed"][ids].float()
        learned = self._learned_positions()
        return hidden if learned is None else total(hidden, learned[positions])

    @torch.inference_mode()
    def layer(
        self,
        index: int,
        hidden: Tensor,
        positions: Tensor | Sequence[int],
        cache: IntegerCache | None = None,
    ) -> Tensor:
        """One layer's output for `hidden`, which follows the tokens in `cache` and joins them.

        Without a cache the tokens see only each other. Attention is causal in the order of tokens;
        `positions` only turn the rope.
        """
        shape, turn = self.architecture, None
        if shape.position == "rope":
            turn = self._rope(self._integers("positions", positions, shape.max_context))
        if cache is None:
            cache = IntegerCache(shape.kv_heads, shape.head_dim, self.device)
        return self.run_layer(self.weights(f"layers.{index}"), hidden, turn, cache)

    def run_layer(
        self,
        weights: Weights,
        hidden: Tensor,
        turn: tuple[Tensor, Tensor] | None,
        cache: IntegerCache,
    ) -> Tensor:
        """A layer from nothing but tensors: its weights, cosine and sine of positions, a cache."""
        shape, tokens = self.architecture, hidden.shape[0]
        normed = self._quantize(self._norm(weights, "attn_norm", hidden))
        query, key, value = (
            self._project(weights, f"attn.{part}", normed).view(tokens, -1, shape.head_dim)
            for part in "qkv"
        )
        if shape.qk_norm:
            query = self._rms(weights, "attn.q_norm.weight", query, shape.used_head_dim)
            key = self._rms(weights, "attn.k_norm.weight", key, shape.used_head_dim)
        if turn is not None:
            query, key = rope(query, *turn), rope(key, *turn)
        keys, key_scales = quantize_kv(key)
        values, value_scales = quantize_kv(value)
        cache.append(keys, key_scales[..., 0], values, value_scales[..., 0])
        attended = self._quantize(self._attend(query, cache))
        hidden = total(hidden, self._branch(weights, "attn", "o", attended))
        normed = self._quantize(self._norm(weights, "mlp_norm", hidden))
        function, up = FUNCTIONS[shape.activation], self._project(weights, "mlp.up", normed)
        if shape.gated_mlp:
            gate = self._project(weights, "mlp.gate", normed)
            inner = activation(function, gate, up)
        else:
            inner = activation(function, up)
        return total(hidden, self._branch(weights, "mlp", "down", self._quantize(inner)))

    @torch.inference_mode()
    def head(self, hidden: Tensor) -> Tensor:
        """Logits ``[tokens, vocab_size]`` of the last layer's output: final norm and head."""
        weights = self.weights("head")
        normed = self._quantize(self._norm(weights, "final_norm", hidden))
        logits = self._project(weights, "lm_head", normed)
        return _capped(logits, self.architecture.logit_cap)

    def weights(self, unit: str) -> Weights:
        """A unit's weights, names without the unit's own prefix; read on first use."""
        if unit not in self._weights:
            prefix = f"{unit}." if unit.startswith("layers.") else ""
            found: dict[str, Weight] = {}
            for tensor, shape in self.architecture.unit_tensors(unit).items():
                name = tensor.removeprefix(prefix)
                if len(shape) == 1:
                    vector = self._model.vector(tensor)
                    assert vector is not None
                    found[name] = torch.from_numpy(vector).to(self.device)
                else:
                    found[name.removesuffix(".weight")] = self._matrix(tensor)
            if unit == "head" and self.architecture.tied_head:
                found["lm_head"] = self._matrix("lm_head.weight")
            self._weights[unit] = found
        return self._weights[unit]

    def _matrix(self, tensor: str) -> Matrix:
        matrix = self._model.matrix(tensor.removesuffix(".weight"))
        integers = matrix.integers()
        check_exact(matrix.shape[1], int(abs(integers).max()))
        scales = torch.from_numpy(matrix.c).to(self.device)
        return self._kept(torch.from_numpy(integers)), scales

    def _kept(self, integers: Tensor) -> Tensor | WeightBytes:
        """A matrix as it is held on the device."""
        if self.device.type == "cpu" and multiplies_bytes():
            return WeightBytes.of(integers)
        return integers.to(self.device)

    def _quantize(self, x: Tensor) -> Activations:
        """Rows as products take them."""
        return quantize_rows(x)

    def _project(self, weights: Weights, name: str, x: Activations) -> Tensor:
        matrix, bias = weights[name], weights.get(f"{name}.bias")
        assert isinstance(matrix, tuple)
        result = multiply(x, *matrix)
        return total(result, bias) if isinstance(bias, Tensor) else result

    def _branch(self, weights: Weights, name: str, last: str, x: Activations) -> Tensor:
        """What attention or MLP adds to the hidden state."""
        out = self._project(weights, f"{name}.{last}", x)
        if not self.architecture.post_norms:
            return out
        return self._norm(weights, f"{name}_post_norm", out)

    def _norm(self, weights: Weights, name: str, x: Tensor) -> Tensor:
        if self.architecture.norm == "rmsnorm":
            return self._rms(weights, f"{name}.weight", x)
        gain, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        assert isinstance(gain, Tensor)
        assert isinstance(bias, Tensor)
        return layernorm(x, gain, bias, self.architecture.norm_eps)

    def _rms(self, weights: Weights, name: str, x: Tensor, count: int | None = None) -> Tensor:
        gain = weights[name]
        assert isinstance(gain, Tensor)
        return rmsnorm(x, gain, self.architecture.norm_eps, count)

    def _learned_positions(self) -> Tensor | None:
        if self.architecture.position != "learned":
            return None
        if "positions" not in self._tables:
            table = self._model.positions()
            assert table is not None
            self._tables["positions"] = torch.from_numpy(table).to(self.device)
        return self._tables["positions"]

    def _rope(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine ``[tokens, 1, head_dim / 2]``, out of a table that grows as needed."""
        needed = int(positions.max()) + 1
        if "rope" not in self._tables or len(self._tables["rope"]) < needed:
            table = self._model.rope_table(min(self.architecture.max_context, max(256, 2 * needed)))
            assert table is not None
            self._tables["rope"] = torch.from_numpy(table).to(self.device)
        cosine, sine = self._tables["rope"][positions, None].chunk(2, dim=-1)
        return cosine, sine

    def _attend(self, query: Tensor, cache: IntegerCache) -> Tensor:
        """Attention of the cache's last tokens: ``[tokens, heads * head_dim]``."""
        tokens, seen = query.shape[0], cache.seen(query.shape[0])
        step = max(1, piece_size(self.device) // (self.architecture.heads * cache.length))
        parts = [
            self._attend_part(query[part], seen[part], cache, cache.until(part.stop, tokens))
            for part in (slice(first, first + step) for first in range(0, tokens, step))
        ]
        return torch.cat(parts)

    def _attend_part(self, query: Tensor, seen: Tensor, cache: IntegerCache, length: int) -> Tensor:
        """Attention of tokens that each see so many of the cache's first `length`."""
        tokens, heads, dim = query.shape
        kv_heads = self.architecture.kv_heads
        shared = heads // kv_heads
        rows = query.view(tokens, kv_heads, shared, dim).transpose(0, 1).reshape(kv_heads, -1, dim)
        keys = cache.keys[:length].transpose(0, 1)
        scores = multiply(self._quantize(rows), keys, cache.key_scales[:length].T)
        scores = _capped(scores, self.architecture.attention_cap)
        masks = attended(self.architecture.blocks, seen.repeat_interleave(shared), length)
        inside = reduce(torch.logical_or, masks)
        weights = softmax(scores, inside, cache.value_scales[:length].T[:, None])
        values = cache.values[:length].permute(1, 2, 0)
        parts = (torch.where(mask, weights, 0.0) for mask in masks) if masks[1:] else (weights,)
        mixed = reduce(total, (multiply(self._quantize(part), values, None) for part in parts))
        return mixed.view(kv_heads, tokens, shared * dim).transpose(0, 1).reshape(tokens, -1)


def _capped(x: Tensor, cap: float | None) -> Tensor:
    """SOFTCAP, unless `cap` is None."""
    if cap is None:
        return x
    inv, half, span = (constant(number, x) for number in (2 / cap, 0.5, 2 * cap))

    def capped(part: Tensor) -> Tensor:
        return product(difference(distribution(SOFTCAP.table, product(part, inv)), half), span)

    return in_pieces(capped, x)
