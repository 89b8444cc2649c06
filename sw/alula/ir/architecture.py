"""The shape of a decoder-only transformer, whatever file it came from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from alula.ir.attention_blocks import AttentionBlocks
from alula.isa.functions import FUNCTIONS

NORMS = ("rmsnorm", "layernorm")
ACTIVATIONS = tuple(FUNCTIONS)
POSITIONS = ("rope", "learned")
PROJECTIONS = ("attn.q", "attn.k", "attn.v", "attn.o", "mlp.gate", "mlp.up", "mlp.down")

_SIZES = (
    "vocab_size",
    "hidden_size",
    "layers",
    "heads",
    "kv_heads",
    "head_dim",
    "intermediate_size",
    "max_context",
)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A pre-norm decoder-only transformer.

    Every layer is ``h += o(attention(norm(h)))`` followed by ``h += mlp(norm(h))``; a final norm
    and a head without bias follow the last layer. With `post_norms` what is added is normalised
    too. All layers have the same shape.

    Args:
        family: Where the shape came from (``"llama"``, ``"qwen2"``, ``"gpt2"``, ``"module"``, ...).
            A label: nothing may branch on it.
        vocab_size, hidden_size, layers, heads, kv_heads, head_dim, intermediate_size: Sizes, all
            positive. Query head ``h`` reads key/value head ``h // (heads // kv_heads)``.
        max_context: Positions the model is defined for, in tokens.
        norm: ``"rmsnorm"`` (weight only) or ``"layernorm"`` (weight and bias).
        norm_eps: Added to the mean square or to the variance; also used by the q/k norm.
        activation: ``"silu"``, ``"gelu"`` (exact), ``"gelu_tanh"`` or ``"relu"``.
        gated_mlp: ``down(activation(gate(x)) * up(x))`` if true, else ``down(activation(up(x)))``.
        position: ``"rope"`` (half-split: element ``i`` turns with element ``i + head_dim/2``) or
            ``"learned"`` (a row of ``embed.position`` is added to the embedding).
        rope_inverse_frequencies: Radians a position, one for each of the ``head_dim / 2`` pairs,
            context scaling applied. None exactly if ``position`` is ``"learned"``.
        qk_norm: RMSNorm over ``head_dim`` on every query and key head, before rope.
        post_norms: A norm on the output of attention and of the MLP, before it is added.
        tied_head: The head multiplies by ``embed.weight``.
        attention_scale: Factor on query-key products before the softmax. ``head_dim ** -0.5`` if
            not given.
        attention_cap, logit_cap: Query-key products, times their factor, and logits ``x`` become
            ``cap * tanh(x / cap)``; None: they stay.
        biases: The projections that add a bias, out of ``PROJECTIONS``; the same in every layer.
        blocks: Which blocks of positions a query attends to; None: all up to its own.
        head_padding: How many of the ``head_dim`` elements of each head are zeros that were added
            to make heads of whole groups; the q/k norm's mean leaves them out.

    Raises:
        ValueError: A field is out of range or two fields contradict each other.
    """

    family: str
    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    max_context: int
    norm: str
    norm_eps: float
    activation: str
    gated_mlp: bool
    position: str
    rope_inverse_frequencies: tuple[float, ...] | None = None
    qk_norm: bool = False
    post_norms: bool = False
    tied_head: bool = False
    attention_scale: float = math.nan
    attention_cap: float | None = None
    logit_cap: float | None = None
    biases: frozenset[str] = frozenset()
    blocks: AttentionBlocks | None = None
    head_padding: int = 0

    def __post_init__(self) -> None:
        for name in _SIZES:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
                raise ValueError(f"{name} must be a positive integer, not {value!r}")
        for name, choices in (
            ("norm", NORMS),
            ("activation", ACTIVATIONS),
            ("position", POSITIONS),
        ):
            value = getattr(self, name)
            if value not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
        if self.heads % self.kv_heads:
            raise ValueError(
                f"heads must be a multiple of kv_heads ({self.kv_heads}), not {self.heads}"
            )
        if not (math.isfinite(self.norm_eps) and self.norm_eps >= 0):
            raise ValueError(f"norm_eps must be finite and not negative, not {self.norm_eps!r}")
        if math.isnan(self.attention_scale):
            object.__setattr__(self, "attention_scale", self.head_dim**-0.5)
        if not (math.isfinite(self.attention_scale) and self.attention_scale > 0):
            raise ValueError(
                f"attention_scale must be finite and positive, not {self.attention_scale!r}"
            )
        for name in ("attention_cap", "logit_cap"):
            cap = getattr(self, name)
            if cap is not None and not (math.isfinite(cap) and cap > 0):
                raise ValueError(f"{name} must be finite and positive, not {cap!r}")
        self._check_position()
        if self.blocks is not None and len(self.blocks.strides) != self.kv_heads:
            raise ValueError(
                f"blocks must have {self.kv_heads} strides, one for each KV head, not "
                f"{len(self.blocks.strides)}"
            )
        if not 0 <= self.head_padding < self.head_dim:
            raise ValueError(
                f"head_padding must be 0 to {self.head_dim - 1}, not {self.head_padding}"
            )
        unknown = self.biases - frozenset(PROJECTIONS)
        if unknown:
            raise ValueError(
                f"biases must be out of {', '.join(PROJECTIONS)}, not {', '.join(sorted(unknown))}"
            )
        if "mlp.gate" in self.biases and not self.gated_mlp:
            raise ValueError("biases must not name mlp.gate where gated_mlp is False")

    def _check_position(self) -> None:
        frequencies = self.rope_inverse_frequencies
        if self.position == "learned":
            if frequencies is not None:
                raise ValueError("rope_inverse_frequencies must be None with learned positions")
            return
        if self.head_dim % 2:
            raise ValueError(f"head_dim must be even with rope, not {self.head_dim}")
        if frequencies is None or len(frequencies) != self.head_dim // 2:
            count = "None" if frequencies is None else f"{len(frequencies)} numbers"
            raise ValueError(
                f"rope_inverse_frequencies must be {self.head_dim // 2} numbers, not {count}"
            )
        if not all(math.isfinite(frequency) for frequency in frequencies):
            raise ValueError("rope_inverse_frequencies must be finite")

    @property
    def position_width(self) -> int:
        """Elements of a position's row: rotary factors, or a learned position."""
        return self.head_dim if self.position == "rope" else self.hidden_size

    @property
    def used_head_dim(self) -> int:
        """Elements of a head without its padding."""
        return self.head_dim - self.head_padding

    @property
    def query_size(self) -> int:
        """Elements of all query heads of one token: ``heads * head_dim``."""
        return self.heads * self.head_dim

    @property
    def kv_size(self) -> int:
        """Elements of all key heads of one token: ``kv_heads * head_dim``."""
        return self.kv_heads * self.head_dim

    @property
    def projections(self) -> Mapping[str, tuple[int, int]]:
        """The linear maps of one layer, by name (``"attn.q"``): ``(outputs, inputs)``."""
        hidden, inner = self.hidden_size, self.intermediate_size
        shapes = {
            "attn.q": (self.query_size, hidden),
            "attn.k": (self.kv_size, hidden),
            "attn.v": (self.kv_size, hidden),
            "attn.o": (hidden, self.query_size),
            "mlp.gate": (inner, hidden),
            "mlp.up": (inner, hidden),
            "mlp.down": (hidden, inner),
        }
        if not self.gated_mlp:
            del shapes["mlp.gate"]
        return shapes

    def unit_tensors(self, unit: str) -> Mapping[str, tuple[int, ...]]:
        """Canonical names and shapes of the tensors of a unit, in the order they are used.

        ``unit`` is ``"embed"``, ``"layers.{i}"`` or ``"head"``; anything else is a ValueError. A
        tied head does not list ``lm_head.weight``: it uses the ``embed.weight`` of ``embed``.
        """
        hidden = self.hidden_size
        if unit == "embed":
            shapes: dict[str, tuple[int, ...]] = {"embed.weight": (self.vocab_size, hidden)}
            if self.position == "learned":
                shapes["embed.position"] = (self.max_context, hidden)
            return shapes
        if unit == "head":
            shapes = self._norm_tensors("final_norm")
            if not self.tied_head:
                shapes["lm_head.weight"] = (self.vocab_size, hidden)
            return shapes
        if unit not in self.units:
            raise ValueError(
                f"unit must be embed, head or layers.0 to layers.{self.layers - 1}, not {unit!r}"
            )
        shapes = self._norm_tensors(f"{unit}.attn_norm")
        for name, shape in self.projections.items():
            if name == "mlp.gate" or (name == "mlp.up" and not self.gated_mlp):
                shapes |= self._norm_tensors(f"{unit}.mlp_norm")
            shapes[f"{unit}.{name}.weight"] = shape
            if name in self.biases:
                shapes[f"{unit}.{name}.bias"] = shape[:1]
            if self.qk_norm and name in ("attn.q", "attn.k"):
                shapes[f"{unit}.{name}_norm.weight"] = (self.head_dim,)
            if self.post_norms and name in ("attn.o", "mlp.down"):
                shapes |= self._norm_tensors(f"{unit}.{name.split('.')[0]}_post_norm")
        return shapes

    def _norm_tensors(self, name: str) -> dict[str, tuple[int, ...]]:
        parts = ("weight", "bias") if self.norm == "layernorm" else ("weight",)
        return {f"{name}.{part}": (self.hidden_size,) for part in parts}

    @property
    def units(self) -> tuple[str, ...]:
        """``("embed", "layers.0", ..., "head")``: what a split can place, in order."""
        return ("embed", *(f"layers.{i}" for i in range(self.layers)), "head")

    def tensors(self) -> Mapping[str, tuple[int, ...]]:
        """Canonical names and shapes of every stored tensor, in the order they are used."""
        shapes: dict[str, tuple[int, ...]] = {}
        for unit in self.units:
            shapes |= self.unit_tensors(unit)
        return shapes

    @property
    def parameters(self) -> int:
        """Numbers stored, a tied head counted once."""
        return sum(math.prod(shape) for shape in self.tensors().values())

    def to_json(self) -> dict[str, object]:
        """Plain JSON data with every field; equal architectures give equal data."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        data["biases"] = sorted(self.biases)
        data["blocks"] = None if self.blocks is None else self.blocks.to_json()
        if self.rope_inverse_frequencies is not None:
            data["rope_inverse_frequencies"] = list(self.rope_inverse_frequencies)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Architecture":
        """The inverse of `to_json`. Raises ValueError or TypeError on anything else."""
        values = dict(data)
        values["biases"] = frozenset(values["biases"])  # type: ignore[call-overload]
        if values.get("blocks") is not None:
            values["blocks"] = AttentionBlocks.from_json(values["blocks"])  # type: ignore[arg-type]
        if values["rope_inverse_frequencies"] is not None:
            values["rope_inverse_frequencies"] = tuple(values["rope_inverse_frequencies"])  # type: ignore[arg-type]
        return cls(**values)  # type: ignore[arg-type]
