"""Architectures by name, and weights for them: planning and sweeps need a shape and no training."""

from dataclasses import replace

import numpy as np

from alula.ir import Architecture

_SMOLLM2 = Architecture(
    family="llama",
    vocab_size=49152,
    hidden_size=576,
    layers=30,
    heads=9,
    kv_heads=3,
    head_dim=64,
    intermediate_size=1536,
    max_context=8192,
    norm="rmsnorm",
    norm_eps=1e-5,
    activation="silu",
    gated_mlp=True,
    position="rope",
    rope_inverse_frequencies=tuple(100000.0 ** (-i / 32) for i in range(32)),
    tied_head=True,
)

SHAPES = {
    "smollm2-135m": _SMOLLM2,
    "llama2-7b": replace(
        _SMOLLM2,
        vocab_size=32000,
        hidden_size=4096,
        layers=32,
        heads=32,
        kv_heads=32,
        head_dim=128,
        intermediate_size=11008,
        max_context=4096,
        rope_inverse_frequencies=tuple(10000.0 ** (-i / 64) for i in range(64)),
        tied_head=False,
        attention_scale=128**-0.5,
    ),
    "llama3-8b": replace(
        _SMOLLM2,
        vocab_size=128256,
        hidden_size=4096,
        layers=32,
        heads=32,
        kv_heads=8,
        head_dim=128,
        intermediate_size=14336,
        rope_inverse_frequencies=tuple(500000.0 ** (-i / 64) for i in range(64)),
        tied_head=False,
        attention_scale=128**-0.5,
    ),
    "qwen3-0.6b": replace(
        _SMOLLM2,
        family="qwen3",
        vocab_size=151936,
        hidden_size=1024,
        layers=28,
        heads=16,
        kv_heads=8,
        head_dim=128,
        intermediate_size=3072,
        max_context=40960,
        norm_eps=1e-6,
        rope_inverse_frequencies=tuple(1000000.0 ** (-i / 64) for i in range(64)),
        qk_norm=True,
        attention_scale=128**-0.5,
    ),
    # Its layers that see 512 positions only are taken as those that see all.
    "gemma3-270m": replace(
        _SMOLLM2,
        family="gemma3",
        vocab_size=262144,
        hidden_size=640,
        layers=18,
        heads=4,
        kv_heads=1,
        head_dim=256,
        intermediate_size=2048,
        max_context=32768,
        norm_eps=1e-6,
        activation="gelu_tanh",
        rope_inverse_frequencies=tuple(1000000.0 ** (-i / 128) for i in range(128)),
        qk_norm=True,
        post_norms=True,
        attention_scale=256**-0.5,
    ),
    "gpt2": Architecture(
        family="gpt2",
        vocab_size=50257,
        hidden_size=768,
        layers=12,
        heads=12,
        kv_heads=12,
        head_dim=64,
        intermediate_size=3072,
        max_context=1024,
        norm="layernorm",
        norm_eps=1e-5,
        activation="gelu_tanh",
        gated_mlp=False,
        position="learned",
        tied_head=True,
        biases=frozenset(("attn.q", "attn.k", "attn.v", "attn.o", "mlp.up", "mlp.down")),
    ),
}
"""The shapes of known models, by name. Of those that Alula fetches, the shape is the file's."""


class RandomCheckpoint:
    """A model of a shape with random weights, a fixed seed for each tensor."""

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture

    def tensor(self, name: str) -> np.ndarray:
        """float32 weights; norms around 1, everything else around 0."""
        if name == "lm_head.weight" and self.architecture.tied_head:
            name = "embed.weight"
        shape = self.architecture.tensors()[name]
        random = np.random.default_rng([ord(letter) for letter in name])
        values = random.standard_normal(shape) * (0.15 if len(shape) == 2 else 0.1)
        return (values + ("norm.weight" in name)).astype(np.float32)
