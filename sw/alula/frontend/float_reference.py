"""Torch float: the model as Alula reads it, unquantised, in fp32."""

from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from alula.frontend.activations import ACTIVATIONS
from alula.ir.architecture import Architecture
from alula.quant.blocks import attended
from alula.quant.cache import LayerCache
from alula.quant.source import Source
from alula.quant.units import UnitModel


class FloatReference(UnitModel[LayerCache]):
    """A checkpoint run by plain torch in float32, a unit at a time.

    The units are those of `Architecture.units`. A unit's weights are read when it first runs.
    Hidden states are ``[tokens, hidden_size]``, float32, on ``device``; dimensions
    of batches may come first.

    Args:
        checkpoint: The model.
        device: ``"cpu"`` or a CUDA device.

    Attributes:
        label: What to call it beside other references.
    """

    label = "our float reading"

    def __init__(self, checkpoint: Source, device: str | torch.device = "cpu") -> None:
        self.architecture: Architecture = checkpoint.architecture
        self.device = torch.device(device)
        self.checkpoint = checkpoint
        self._weights: dict[str, dict[str, Tensor]] = {}
        self._dtype = torch.float32
        self._rope_table: tuple[Tensor, Tensor] | None = None

    def unit(self, name: str) -> dict[str, Tensor]:
        """A unit's tensors, names without the unit's own prefix; read on first use.

        A tied head shares the tensor of ``embed``. ValueError if there is no such unit.
        """
        if name not in self._weights:
            prefix = f"{name}." if name.startswith("layers.") else ""
            weights = {
                tensor.removeprefix(prefix): torch.from_numpy(self.checkpoint.tensor(tensor)).to(
                    self.device
                )
                for tensor in self.architecture.unit_tensors(name)
            }
            if name == "head" and self.architecture.tied_head:
                weights["lm_head.weight"] = self.unit("embed")["embed.weight"]
            self._weights[name] = weights
        return self._weights[name]

    def cache(self) -> list[LayerCache]:
        """Empty caches, one for each layer."""
        shape = self.architecture
        rows = torch.zeros(
            (0, shape.kv_heads, shape.head_dim), dtype=self._dtype, device=self.device
        )
        return [LayerCache(keys=rows, values=rows) for _ in range(shape.layers)]

    def embed(self, ids: Tensor | Sequence[int], positions: Tensor | Sequence[int]) -> Tensor:
        """Hidden states of token ids at positions.

        Raises ValueError if an id is not in the vocabulary or a position not in the context.
        """
        ids = self._integers("ids", ids, self.architecture.vocab_size)
        positions = self._integers("positions", positions, self.architecture.max_context)
        weights = self.unit("embed")
        hidden = weights["embed.weight"][ids]
        if self.architecture.position == "learned":
            hidden = hidden + weights["embed.position"][positions]
        return hidden

    def layer(
        self,
        index: int,
        hidden: Tensor,
        positions: Tensor | Sequence[int],
        cache: LayerCache | None = None,
    ) -> Tensor:
        """One layer's output for ``hidden``, which follows the tokens in ``cache`` and joins them.

        Without a cache the tokens see only each other. Attention is causal in the order of tokens;
        ``positions`` only turn the rope.
        """
        shape, turn = self.architecture, None
        if shape.position == "rope":
            turn = self._rope(self._integers("positions", positions, shape.max_context))
        return self.run_layer(self.unit(f"layers.{index}"), hidden, turn, cache)

    def run_layer(
        self,
        weights: dict[str, Tensor],
        hidden: Tensor,
        turn: tuple[Tensor, Tensor] | None,
        cache: LayerCache | None,
    ) -> Tensor:
        """A layer from nothing but tensors: its weights, cosine and sine of positions, a cache."""
        shape = self.architecture
        normed = self._norm(hidden, weights, "attn_norm")
        queries, keys, values = (
            self._project(normed, weights, f"attn.{part}").unflatten(-1, (-1, shape.head_dim))
            for part in "qkv"
        )
        if shape.qk_norm:
            queries = self._head_rms(queries, weights["attn.q_norm.weight"])
            keys = self._head_rms(keys, weights["attn.k_norm.weight"])
        if turn is not None:
            queries, keys = _turned(queries, *turn), _turned(keys, *turn)
        if cache is not None:
            cache.append(keys, values)
            keys, values = cache.keys, cache.values
        attended = self._attend(queries, keys, values, cache).flatten(-2)
        hidden = hidden + self._branch(attended, weights, "attn", "o")
        normed = self._norm(hidden, weights, "mlp_norm")
        activation = ACTIVATIONS[shape.activation]
        inner = self._project(normed, weights, "mlp.up")
        if shape.gated_mlp:
            inner = activation(self._project(normed, weights, "mlp.gate")) * inner
        else:
            inner = activation(inner)
        return hidden + self._branch(inner, weights, "mlp", "down")

    def head(self, hidden: Tensor) -> Tensor:
        """Logits ``[tokens, vocab_size]`` of the last layer's output: final norm and head."""
        weights = self.unit("head")
        logits = F.linear(self._norm(hidden, weights, "final_norm"), weights["lm_head.weight"])
        return _capped(logits, self.architecture.logit_cap)

    def _project(self, values: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
        return F.linear(values, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def _branch(self, values: Tensor, weights: dict[str, Tensor], branch: str, last: str) -> Tensor:
        """What attention or MLP adds to the hidden state."""
        out = self._project(values, weights, f"{branch}.{last}")
        return (
            self._norm(out, weights, f"{branch}_post_norm") if self.architecture.post_norms else out
        )

    def _norm(self, values: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
        if self.architecture.norm == "rmsnorm":
            return self._rms(values, weights[f"{name}.weight"])
        return F.layer_norm(
            values,
            values.shape[-1:],
            weights[f"{name}.weight"],
            weights[f"{name}.bias"],
            self.architecture.norm_eps,
        )

    def _rms(self, values: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(values, values.shape[-1:], weight, self.architecture.norm_eps)

    def _head_rms(self, values: Tensor, weight: Tensor) -> Tensor:
        """The q/k norm, whose mean leaves out the padding of heads."""
        shape = self.architecture
        if not shape.head_padding:
            return self._rms(values, weight)
        mean = values.square().sum(-1, keepdim=True) / shape.used_head_dim
        return values * torch.rsqrt(mean + shape.norm_eps) * weight

    def _rope(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine ``[tokens, 1, head_dim / 2]``, out of a table that grows as needed."""
        needed = int(positions.max()) + 1
        if self._rope_table is None or len(self._rope_table[0]) < needed:
            length = min(self.architecture.max_context, max(256, 2 * needed))
            angles = self._angles(length)
            self._rope_table = (angles.cos().to(self._dtype), angles.sin().to(self._dtype))
        cosine, sine = self._rope_table
        return cosine[positions, None], sine[positions, None]

    def _angles(self, length: int) -> Tensor:
        """Radians ``[length, head_dim / 2]`` of the positions from 0 on."""
        frequencies = torch.tensor(
            self.architecture.rope_inverse_frequencies, dtype=torch.float64, device=self.device
        )
        return torch.arange(length, dtype=torch.float64, device=self.device).outer(frequencies)

    def _attend(
        self, queries: Tensor, keys: Tensor, values: Tensor, cache: LayerCache | None
    ) -> Tensor:
        if self.architecture.attention_cap is not None:
            return self._attend_capped(queries, keys, values)
        tokens, held = queries.shape[-3], keys.shape[-3]
        mask = None
        if self.architecture.blocks is not None:
            mask = self._inside(tokens, held)
        elif 1 < tokens < held:
            mask = torch.ones(tokens, held, dtype=torch.bool, device=self.device).tril(
                held - tokens
            )
        attended = F.scaled_dot_product_attention(
            *(
                part.reshape(-1, *part.shape[-3:]).transpose(1, 2)
                for part in (queries, keys, values)
            ),
            attn_mask=mask,
            is_causal=mask is None and tokens == held and tokens > 1,
            scale=self.architecture.attention_scale,
            enable_gqa=self.architecture.heads != self.architecture.kv_heads,
        )
        return attended.transpose(1, 2).reshape(queries.shape)

    def _attend_capped(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        shape, held = self.architecture, keys.shape[-3]
        keys, values = (
            part.repeat_interleave(shape.heads // shape.kv_heads, dim=-2) for part in (keys, values)
        )
        scores = torch.einsum("...thd,...shd->...hts", queries, keys) * shape.attention_scale
        inside = self._inside(queries.shape[-3], held)
        scores = _capped(scores, shape.attention_cap).masked_fill(~inside, -torch.inf)
        return torch.einsum("...hts,...shd->...thd", scores.softmax(-1), values)

    def _inside(self, tokens: int, held: int) -> Tensor:
        """Which of the positions held each head of the last tokens attends to."""
        shape = self.architecture
        seen = torch.arange(held - tokens + 1, held + 1, device=self.device)
        masks = reduce(torch.logical_or, attended(shape.blocks, seen, held))
        shared = shape.heads // len(masks)
        return masks.repeat_interleave(shared, dim=0)


def _capped(values: Tensor, cap: float | None) -> Tensor:
    return values if cap is None else cap * torch.tanh(values / cap)


def _turned(values: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rope on ``[tokens, heads, head_dim]``: element i turns with element i + head_dim/2."""
    first, second = values.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)
