"""The page that says what of GGUF files is read."""

from collections.abc import Iterable

from alula.frontend.gguf_source import FAMILIES
from alula.runtime.gguf_known_tokens import ENDS
from alula.runtime.gguf_vocabulary import MODELS
from alula.text.gguf.pre_tokenizers import PRE_TOKENIZERS, REFUSED, PreTokenizer

_HEAD = """\
# GGUF files

<!-- Generated from host/alula/text/gguf by tools/generate.py; do not edit. -->

A GGUF file is read as llama.cpp reads it, and tests compare with llama.cpp b11549: ids of texts,
the tokens that end an answer, the ends of a conversation, and probabilities of next tokens. What is
not read so is refused.
"""


def reference_text() -> str:
    """Return the text of docs/reference/gguf.md."""
    return "\n".join([_HEAD, *_models(), *_tokenizers(), *_ends()]) + "\n"


def _models() -> Iterable[str]:
    yield "## Models\n"
    yield f"`general.architecture` is one of {_names(FAMILIES)}. Of these:\n"
    yield (
        "- `rope.scaling.type` is `none` or `linear`, which it is where it is missing;\n"
        "  `rope.scale_linear` counts where `rope.scaling.factor` is missing.\n"
        "- Rope turns the whole head, and `rope_freqs.weight` divides the frequencies of `llama`.\n"
        "- `attention.scale` and `attention.clamp_kqv` count for nothing, as in llama.cpp.\n"
        "- With `attention.sliding_window` the context is the window.\n"
        "- Tensors that llama.cpp does not have for the architecture are refused, as are keys\n"
        "  that would change a result.\n"
        "- The embedding has a row for each token.\n"
    )


def _tokenizers() -> Iterable[str]:
    yield "## Tokenizers\n"
    yield (
        f"`tokenizer.ggml.model` is one of {_names(MODELS)}. For all but `llama`,\n"
        "`tokenizer.ggml.pre` is one of these; those of a row split text alike:\n"
    )
    yield "| `tokenizer.ggml.pre` | BOS by default | a word that is a token is taken whole |"
    yield "|---|---|---|"
    for pre, names in _grouped().items():
        bos = "always" if pre.always_bos else "yes" if pre.add_bos else "no"
        yield f"| {_names(names)} | {bos} | {'yes' if pre.whole_words else 'no'} |"
    refused = "; ".join(f"`{name}`, as {why}" for name, why in REFUSED.items())
    yield f"\nA missing one is `default`. Refused: {refused}.\n"


def _grouped() -> dict[PreTokenizer, list[str]]:
    groups: dict[PreTokenizer, list[str]] = {}
    for name, pre in PRE_TOKENIZERS.items():
        groups.setdefault(pre, []).append(name)
    return groups


def _ends() -> Iterable[str]:
    yield "## Where an answer ends\n"
    yield (
        "At the tokens that `eos_token_id`, `eot_token_id` and `eom_token_id` name, at the\n"
        "separators of files and padding that models for code have, and at tokens with these\n"
        "texts: "
        f"{_names(ENDS)}. `<|end|>` and `</s>` are no end beside the tokens that llama.cpp\n"
        "knows to go with them (`<|return|>` and `<|call|>`, `<|tool_response>`)."
    )


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
