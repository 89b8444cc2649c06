"""Good files, for the campaign to damage: small random models, designs, programs."""

import json
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save
from tests.conftest import write_byte_tokenizer

from alula.design import load_design
from alula.design.shipped import shipped_designs, shipped_sweeps
from alula.isa import Image, Program, Region, assemble, encode_all

NANO = load_design("nano")
HIDDEN, HEADS, HEAD, INNER, VOCABULARY, CONTEXT = 32, 2, 32, 64, 260, 64

LISTING = """\
; a vector through the SFU, and a product
LI rd=r1 value=4
LOOP count=r1 body=2
    SADD rd=r2 a=r2 b=16
    NOP
LD.V type=fp32 addr=r2 dst=0 count=64 signal=MISC
ACT func=silu gated=0 dst=0 a=0 b=0 count=64 wait=LD signal=ST
ST.V src=0 addr=r2+200 count=64 wait=MISC
LD.W to=MV fmt=V8 nm=dense addr=512 blocks=2 groups=2
QUANT src=0 dst=0 slot=0 rows=1 len=64 stride=16 signal=MV
MV fmt=V8 nm=dense src=0 groups=2 outputs=4 rows=1 dst=300 stride=4 wait=MISC
ST.W value=r1 addr=900 skip=1
END
"""

LLAMA_NAMES = {
    "model.embed_tokens.weight": ("token_embd.weight", (VOCABULARY, HIDDEN)),
    "model.norm.weight": ("output_norm.weight", (HIDDEN,)),
    "model.layers.0.input_layernorm.weight": ("blk.0.attn_norm.weight", (HIDDEN,)),
    "model.layers.0.post_attention_layernorm.weight": ("blk.0.ffn_norm.weight", (HIDDEN,)),
    "model.layers.0.self_attn.q_proj.weight": ("blk.0.attn_q.weight", (HEADS * HEAD, HIDDEN)),
    "model.layers.0.self_attn.k_proj.weight": ("blk.0.attn_k.weight", (HEAD, HIDDEN)),
    "model.layers.0.self_attn.v_proj.weight": ("blk.0.attn_v.weight", (HEAD, HIDDEN)),
    "model.layers.0.self_attn.o_proj.weight": ("blk.0.attn_output.weight", (HIDDEN, HEADS * HEAD)),
    "model.layers.0.mlp.gate_proj.weight": ("blk.0.ffn_gate.weight", (INNER, HIDDEN)),
    "model.layers.0.mlp.up_proj.weight": ("blk.0.ffn_up.weight", (INNER, HIDDEN)),
    "model.layers.0.mlp.down_proj.weight": ("blk.0.ffn_down.weight", (HIDDEN, INNER)),
}

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "attention_bias": False,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "head_dim": HEAD,
    "hidden_act": "silu",
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "max_position_embeddings": CONTEXT,
    "mlp_bias": False,
    "num_attention_heads": HEADS,
    "num_hidden_layers": 1,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    "tie_word_embeddings": True,
    "vocab_size": VOCABULARY,
}


@cache
def tensors() -> dict[str, np.ndarray]:
    """A Llama of one layer."""
    random = np.random.default_rng(1)
    return {
        name: random.standard_normal(shape).astype(np.float32) * np.float32(0.2)
        for name, (_, shape) in LLAMA_NAMES.items()
    }


@cache
def safetensors() -> bytes:
    """The same as a safetensors file."""
    return save(tensors())


def write_folder(folder: Path) -> None:
    """Write the model as a Hugging Face folder."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model.safetensors").write_bytes(safetensors())
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 1}))
    write_byte_tokenizer(folder)


STRING, ARRAY = 8, 9
METADATA: dict[str, tuple[int, Any]] = {
    "general.architecture": (STRING, "llama"),
    "general.name": (STRING, "small"),
    "general.alignment": (4, 32),
    "llama.context_length": (4, CONTEXT),
    "llama.embedding_length": (4, HIDDEN),
    "llama.block_count": (4, 1),
    "llama.feed_forward_length": (4, INNER),
    "llama.attention.head_count": (4, HEADS),
    "llama.attention.head_count_kv": (4, 1),
    "llama.attention.key_length": (4, HEAD),
    "llama.attention.value_length": (4, HEAD),
    "llama.rope.dimension_count": (4, HEAD),
    "llama.rope.freq_base": (6, 10000.0),
    "llama.attention.layer_norm_rms_epsilon": (6, 1e-6),
    "tokenizer.ggml.model": (STRING, "gpt2"),
    "tokenizer.ggml.pre": (STRING, "llama-bpe"),
    "tokenizer.ggml.tokens": (
        ARRAY,
        (STRING, [f"t{i}" for i in range(VOCABULARY - 2)] + ["Ġ", "<s>"]),
    ),
    "tokenizer.ggml.token_type": (ARRAY, (5, [1] * (VOCABULARY - 1) + [3])),
    "tokenizer.ggml.merges": (ARRAY, (STRING, ["t 1", "t1 2"])),
    "tokenizer.ggml.bos_token_id": (4, VOCABULARY - 1),
    "tokenizer.ggml.eos_token_id": (4, VOCABULARY - 1),
    "tokenizer.ggml.add_bos_token": (7, 1),
    "tokenizer.chat_template": (STRING, "{% for m in messages %}{{ m['content'] }}{% endfor %}"),
}
FORMATS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<B",
    10: "<Q",
    11: "<q",
    12: "<d",
}


def gguf_text(value: str) -> bytes:
    """A string as GGUF stores it."""
    data = value.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(data)) + data


def gguf_value(kind: int, value: Any) -> bytes:
    """A value of a kind as GGUF stores it."""
    if kind == STRING:
        return gguf_text(value)
    if kind == ARRAY:
        element, items = value
        head = struct.pack("<IQ", element, len(items))
        return head + b"".join(gguf_value(element, item) for item in items)
    return struct.pack(FORMATS[kind], value)


@cache
def gguf_pairs() -> dict[str, bytes]:
    """Each key of the metadata with kind and value."""
    return {
        key: struct.pack("<I", kind) + gguf_value(kind, value)
        for key, (kind, value) in METADATA.items()
    }


@cache
def gguf_rows() -> tuple[list[bytes], bytes]:
    """The rows of the tensor table, and the tensors."""
    rows, data = [], b""
    for name, (stored, shape) in LLAMA_NAMES.items():
        dimensions = struct.pack(f"<{len(shape)}Q", *shape[::-1])
        rows.append(
            gguf_text(stored)
            + struct.pack("<I", len(shape))
            + dimensions
            + struct.pack("<IQ", 0, len(data))
        )
        data += tensors()[name].tobytes()
        data += bytes(-len(data) % 32)
    return rows, data


def gguf(pairs: dict[str, bytes], rows: list[bytes], data: bytes) -> bytes:
    """A GGUF file."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(rows), len(pairs))
    head += b"".join(gguf_text(key) + value for key, value in pairs.items()) + b"".join(rows)
    return head + bytes(-len(head) % 32) + data


@cache
def program() -> Program:
    """A program for nano."""
    code = encode_all(assemble(LISTING))
    origins = tuple(f"layers.{{layer}}.{number}" for number in range(len(code) // 16))
    return Program("decode", NANO.hash, code, {3: 7}, {"position": 4}, origins, {1: 0})


@cache
def image() -> Image:
    """A memory image for nano."""
    data = np.arange(40 * NANO.bytes_per_cycle, dtype=np.uint8).reshape(40, -1)
    return Image(NANO.hash, data, {"weights": Region(0, 40), "kv": Region(40, 100, stored=False)})


@cache
def design_texts() -> tuple[str, ...]:
    """The shipped designs."""
    return tuple(path.read_text() for path in shipped_designs().values())


@cache
def sweep_texts() -> tuple[str, ...]:
    """The shipped sweeps."""
    return tuple(path.read_text() for path in shipped_sweeps().values())
