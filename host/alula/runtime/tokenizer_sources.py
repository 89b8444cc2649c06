"""Where a model's tokenizer comes from: a GGUF file or a Hugging Face folder, converted once."""

import hashlib
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

from alula.frontend.gguf_file import GgufFile
from alula.kept import kept
from alula.runtime.gguf_tokenizer import build_tokenizer, special_token
from alula.runtime.tokenizer import BoundedTokenizer
from alula.runtime.tokenizer_folder import convert_files, files_id, tokenizer_files
from alula.sources import sources_id
from alula.text.tokenizer import Settings, Tokenizer

_LIBRARIES = ("tokenizers", "transformers")


def open_tokenizer(source: Path, content_id: str) -> BoundedTokenizer:
    """Return a model's tokenizer, from the cache if it has been converted before.

    Args:
        source: the GGUF file or the folder that holds it.
        content_id: the checkpoint's identity.

    Raises:
        TokenizerError: it cannot be read or is of a kind that is not supported.
        OSError: a file or the cache cannot be read or written.
    """
    if source.is_dir():
        files = tokenizer_files(source)
        return _converted(files_id(files), lambda folder: convert_files(files, folder, source))
    return _converted(content_id, lambda folder: _from_gguf(source).save(folder))


def _converted(content: str, convert: Callable[[Path], None]) -> BoundedTokenizer:
    """Return the tokenizer that the cache has of a content; it is converted where there is none.

    The converter's sources and the libraries' versions are part of its name.
    """
    versions = [metadata.version(name) for name in _LIBRARIES]
    sources = sources_id("alula.frontend", "alula.runtime", "alula.text")
    key = hashlib.sha256("\n".join((content, *versions, sources)).encode()).hexdigest()
    return BoundedTokenizer(kept("tokenizers", key[:32], convert))


def _from_gguf(path: Path) -> Tokenizer:
    metadata = GgufFile(path).metadata
    backend = build_tokenizer(metadata, path)
    ends = (metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom"))
    template = metadata.get("tokenizer.chat_template")
    return Tokenizer(
        backend,
        Settings(
            template if isinstance(template, str) else None,
            _unique(ends),
            _named({name: special_token(metadata, name) for name in ("bos", "eos")}),
        ),
    )


def _named(tokens: dict[str, str | None]) -> dict[str, str]:
    return {f"{name}_token": text for name, text in tokens.items() if text is not None}


def _unique(ids: Iterable[object]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(value for value in ids if isinstance(value, int)))
