"""Architectures that tests share: the shapes of real and of tiny models, without weights."""

from __future__ import annotations

from dataclasses import replace

from alula.ir import Architecture

SMOLLM2 = Architecture(
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

LLAMA2_7B = replace(
    SMOLLM2,
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
)

GPT2 = Architecture(
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
)
