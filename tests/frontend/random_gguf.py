"""Small random GGUF files of the families that are read, with a tokenizer that llama.cpp wants."""

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
from tests.llama_cpp import Tensors, write_vocabulary

HIDDEN, HEADS, KV_HEADS, HEAD, INNER, LAYERS, CONTEXT, TOKENS = 64, 4, 2, 16, 96, 2, 64, 128
FAMILIES = ("llama", "qwen2", "qwen3", "gpt2")

Writer = Callable[[gguf.GGUFWriter], None]
Change = Callable[[Tensors], None]


def random_gguf(
    path: Path,
    family: str,
    extra: Writer = lambda writer: None,
    change: Change = lambda tensors: None,
    *,
    tokens: int = TOKENS,
    left_out: tuple[str, ...] = (),
) -> Path:
    """Write a model whose weights matter.

    Args:
        path: the file to write.
        family: one of `FAMILIES`.
        extra: adds metadata.
        change: changes the tensors in place.
        tokens: how many the tokenizer has; the embedding has `TOKENS`.
        left_out: metadata keys without the family's name that are not written.
    """
    writer = gguf.GGUFWriter(path, family)
    sizes = {
        "context_length": CONTEXT,
        "embedding_length": HIDDEN,
        "block_count": LAYERS,
        "feed_forward_length": INNER,
        "attention.head_count": HEADS,
        "attention.head_count_kv": HEADS if family == "gpt2" else KV_HEADS,
    }
    norm = "layer_norm_epsilon" if family == "gpt2" else "layer_norm_rms_epsilon"
    for key, value in sizes.items():
        if key not in left_out:
            writer.add_uint32(f"{family}.{key}", value)
    if norm not in left_out:
        writer.add_float32(f"{family}.attention.{norm}", 1e-5)
    # ASCII alone: llama.cpp's server tells no probabilities of tokens that are half a character.
    names = ["a", "b", "ab", *(f"t{number:03}" for number in range(3, tokens))]
    write_vocabulary(writer, names, merges=["a b"])
    extra(writer)
    tensors = _tensors(family)
    change(tensors)
    for name, values in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(values, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _tensors(family: str) -> Tensors:
    chance = np.random.default_rng(FAMILIES.index(family))

    def matrix(rows: int, columns: int = HIDDEN) -> np.ndarray:
        return chance.standard_normal((rows, columns)) * 0.15

    def bias(rows: int) -> np.ndarray:
        return chance.standard_normal(rows) * 0.2

    def norm(rows: int = HIDDEN) -> np.ndarray:
        return 1 + 0.2 * chance.standard_normal(rows)

    found = {"token_embd.weight": matrix(TOKENS) * 3, "output_norm.weight": norm()}
    found["output.weight"] = matrix(TOKENS)
    if family == "gpt2":
        found["position_embd.weight"] = matrix(CONTEXT)
        found["output_norm.bias"] = bias(HIDDEN)
    for layer in range(LAYERS):
        projections = {
            "attn_output": (HIDDEN, HEADS * HEAD),
            "ffn_up": (INNER, HIDDEN),
            "ffn_down": (HIDDEN, INNER),
        }
        norms = {"attn_norm": HIDDEN, "ffn_norm": HIDDEN}
        if family == "gpt2":
            projections["attn_qkv"] = (3 * HIDDEN, HIDDEN)
        else:
            projections |= {"attn_q": (HEADS * HEAD, HIDDEN), "ffn_gate": (INNER, HIDDEN)}
            projections |= {f"attn_{name}": (KV_HEADS * HEAD, HIDDEN) for name in "kv"}
        if family == "qwen3":
            norms |= {"attn_q_norm": HEAD, "attn_k_norm": HEAD}
        biased = {"gpt2": projections, "qwen2": ("attn_q", "attn_k", "attn_v")}.get(family, ())
        block = {f"{name}.weight": matrix(*shape) for name, shape in projections.items()}
        block |= {f"{name}.bias": bias(projections[name][0]) for name in biased}
        block |= {f"{name}.weight": norm(size) for name, size in norms.items()}
        if family == "gpt2":
            block |= {f"{name}.bias": bias(size) for name, size in norms.items()}
        found |= {f"blk.{layer}.{name}": values for name, values in block.items()}
    return found
