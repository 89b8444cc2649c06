"""Where a model's tokenizer comes from: a GGUF file, converted once, or a Hugging Face folder."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend

from alula.folders import cache_folder, new_folder
from alula.frontend.gguf_file import GgufFile
from alula.runtime.errors import TokenizerError
from alula.runtime.gguf_tokenizer import build_tokenizer, special_token
from alula.runtime.tokenizer import Settings, Tokenizer, backend_from_text

_FORMAT = 1


def open_tokenizer(source: Path, content_id: str) -> Tokenizer:
    """Return a model's tokenizer, from the cache if it has been converted before.

    Args:
        source: the GGUF file or the folder that holds it.
        content_id: the checkpoint's identity.

    Raises:
        TokenizerError: it cannot be read or is of a kind that is not supported.
        OSError: the cache cannot be written.
    """
    if source.is_dir():
        return _from_folder(source)
    place = cache_folder() / "tokenizers" / f"{content_id[:32]}-{_FORMAT}"
    try:
        return Tokenizer.load(place)
    except FileNotFoundError:
        tokenizer = _from_gguf(source)
        with new_folder(place) as folder:
            tokenizer.save(folder)
        return tokenizer


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


def _from_folder(folder: Path) -> Tokenizer:
    config = _json(folder / "tokenizer_config.json")
    file = folder / "tokenizer.json"
    if file.is_file():
        backend = backend_from_text(file.read_text(encoding="utf-8"), file)
    else:
        backend = _converted(folder)
    special = {name: _text(config.get(f"{name}_token")) for name in ("bos", "eos")}
    ends: list[object] = []
    for name in ("generation_config.json", "config.json"):
        found = _json(folder / name).get("eos_token_id")
        ends += found if isinstance(found, list) else [found]
    if special["eos"] is not None:
        ends.append(backend.token_to_id(special["eos"]))
    return Tokenizer(backend, Settings(_template(folder, config), _unique(ends), _named(special)))


def _converted(folder: Path) -> Backend:
    """Return the tokenizer of a folder that has only the files from before tokenizer.json."""
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        return loaded.backend_tokenizer
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TokenizerError(f"{folder} must hold a tokenizer that loads, not: {reason}") from None


def _template(folder: Path, config: dict[str, Any]) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    found = config.get("chat_template")
    if isinstance(found, list):
        found = next(
            (item.get("template") for item in found if item.get("name") == "default"), None
        )
    return found if isinstance(found, str) else None


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TokenizerError(f"{path} must be JSON, not: {error}") from None
    return values if isinstance(values, dict) else {}


def _text(token: object) -> str | None:
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _named(tokens: dict[str, str | None]) -> dict[str, str]:
    return {f"{name}_token": text for name, text in tokens.items() if text is not None}


def _unique(ids: Iterable[object]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(value for value in ids if isinstance(value, int)))
