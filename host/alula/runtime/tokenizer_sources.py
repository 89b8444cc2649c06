"""Where a model's tokenizer comes from: a GGUF file or a Hugging Face folder, converted once."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from alula.folders import cache_folder, new_folder
from alula.frontend.gguf_file import GgufFile
from alula.runtime.gguf_tokenizer import build_tokenizer, special_token
from alula.runtime.tokenizer import BoundedTokenizer
from alula.runtime.tokenizer_folder import convert_files, files_id, tokenizer_files
from alula.text.tokenizer import Settings, Tokenizer

_FORMAT = 2


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
        return _kept(files_id(files), lambda folder: convert_files(files, folder, source))
    return _kept(f"{content_id[:32]}-{_FORMAT}", lambda folder: _from_gguf(source).save(folder))


def _kept(key: str, make: Callable[[Path], None]) -> BoundedTokenizer:
    """Return the tokenizer that the cache has under a key; make it where there is none."""
    place = cache_folder() / "tokenizers" / key
    if place.is_dir():
        try:
            return BoundedTokenizer(place)
        except (OSError, ValueError):
            shutil.rmtree(place)
    with new_folder(place) as folder:
        make(folder)
    return BoundedTokenizer(place)


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
