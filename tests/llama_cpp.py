"""llama.cpp itself, through the wheel xllamacpp, and small GGUF files to ask it about."""

import json
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import xllamacpp
from gguf import TokenType

from alula.text.gguf.byte_pairs import ALPHABET

SPELLING = {byte: character for character, byte in ALPHABET.items()}
Tensors = dict[str, np.ndarray]


class LlamaCpp:
    """A GGUF file, loaded by llama.cpp. RuntimeError if it refuses the file."""

    def __init__(self, path: Path, context: int = 256) -> None:
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx = context
        parameters.n_gpu_layers = 0
        parameters.n_parallel = 1
        parameters.cache_ram_mib = 0
        parameters.warmup = False
        parameters.fit_params = False
        parameters.use_jinja = True
        parameters.verbosity = -1
        parameters.port = 0
        parameters.cpuparams.n_threads = 1
        parameters.cpuparams_batch.n_threads = 1
        self._server = xllamacpp.Server(parameters)
        # A server that is dropped before its loop runs never ends; this waits for the loop.
        self.complete([0], 1)

    def _post(self, endpoint: str, **body: Any) -> Any:
        request = urllib.request.Request(
            self._server.listening_address + endpoint,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def tokenize(self, text: str, special: bool = False) -> list[int]:
        """The ids of a text whose special tokens are read as such."""
        return self._post("/tokenize", content=text, add_special=special, parse_special=True)[
            "tokens"
        ]

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of ids, control tokens included."""
        return self._post("/detokenize", tokens=list(ids))["content"]

    def rendered(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The text of a conversation."""
        return self._post("/apply-template", messages=messages)["prompt"]

    def chat_length(self, messages: Sequence[Mapping[str, str]]) -> int:
        """How many tokens a conversation has."""
        answer = self._post("/v1/chat/completions", messages=messages, max_tokens=1)
        return answer["usage"]["prompt_tokens"]

    def complete(self, ids: Sequence[int], count: int, **options: Any) -> Any:
        """What follows some ids, the most likely token each time."""
        return self._post(
            "/completion",
            prompt=list(ids),
            n_predict=count,
            temperature=0,
            top_k=1,
            cache_prompt=False,
            return_tokens=True,
            **options,
        )

    def log_probabilities(self, ids: Sequence[int], count: int) -> dict[int, float]:
        """Those of the most likely next tokens."""
        answer = self.complete(ids, 1, n_probs=count, ignore_eos=True)
        return {
            item["id"]: item["logprob"]
            for item in answer["completion_probabilities"][0]["top_logprobs"]
        }


def write_vocabulary(
    writer: gguf.GGUFWriter,
    tokens: Sequence[str],
    *,
    special: Mapping[str, TokenType] | None = None,
    kinds: Sequence[int] | None = None,
    merges: Sequence[str] | None = None,
    scores: Sequence[float] | None = None,
    model: str = "gpt2",
    pre: str | None = "gpt-2",
) -> list[str]:
    """Add a tokenizer to a file, its special tokens behind the others; return all tokens."""
    special = special or {}
    all_tokens = [*tokens, *special]
    writer.add_tokenizer_model(model)
    if pre is not None:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(all_tokens)
    writer.add_token_types([*(kinds or [TokenType.NORMAL] * len(tokens)), *special.values()])
    if merges is not None:
        writer.add_token_merges(merges)
    if scores is not None:
        writer.add_token_scores([*scores, *[0.0] * len(special)])
    return all_tokens


def write_model(
    path: Path,
    vocabulary: Callable[[gguf.GGUFWriter], Sequence[str]],
    *,
    hidden: int = 32,
    tensors: Callable[[Tensors], Tensors] = lambda tensors: tensors,
) -> Path:
    """Write a Llama of one layer around a vocabulary. Its weights are zeros but for norms."""
    writer = gguf.GGUFWriter(path, "llama")
    tokens = vocabulary(writer)
    writer.add_context_length(256)
    writer.add_embedding_length(hidden)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    one, square = np.ones(hidden, np.float32), np.zeros((hidden, hidden), np.float32)
    found: Tensors = {
        "token_embd.weight": np.zeros((len(tokens), hidden), np.float32),
        "output_norm.weight": one,
        "blk.0.attn_norm.weight": one,
        "blk.0.ffn_norm.weight": one,
        "blk.0.ffn_up.weight": np.zeros((32, hidden), np.float32),
        "blk.0.ffn_gate.weight": np.zeros((32, hidden), np.float32),
        "blk.0.ffn_down.weight": np.zeros((hidden, 32), np.float32),
    }
    found |= {f"blk.0.attn_{name}.weight": square for name in ("q", "k", "v", "output")}
    for name, values in tensors(found).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
