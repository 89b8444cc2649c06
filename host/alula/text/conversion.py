"""A Hugging Face folder's tokenizer, as transformers reads it.

transformers knows what all the files and settings of such a folder mean, which come from many
years. What it makes of them is converted to the two files that Alula keeps, and compared with them:
where they part, on texts that touch what tokenizers differ in, the folder is refused.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend
from tokenizers.models import BPE

from alula.text.errors import TextError, reason, refused
from alula.text.library import LibraryTokenizer
from alula.text.tokenizer import Settings, Tokenizer

_TEXTS = (
    "Hello world",
    "  leading, and   many   spaces ",
    "tabs\tand\nnew\n\n\nlines\r\n",
    "déjà vu, NAÏVE, 日本語, emoji 🦜👩‍👩‍👧, \u0000\u00a0\ufeff",
    "don't I'LL we've (brackets) [more] {curly} a_b x->y != 3.14e-10",
    "0123456789 ½ ٣",
    "\n",
    "",
)
_EXAMINED = 256
"""Added tokens that are compared one by one; all are compared together."""


def convert(folder: Path, name: str) -> Tokenizer:
    """Return the tokenizer of a folder. No code in it is run, and nothing is fetched.

    Args:
        folder: holds the files that make it, and no others.
        name: what the folder is called in messages.

    Raises:
        TextError: it cannot be read, or cannot be run as transformers would.
    """
    try:
        return _converted(folder)
    except TextError as error:
        raise TextError(str(error).replace(str(folder), name)) from None


def _converted(folder: Path) -> Tokenizer:
    contents = {path.name: _json(path) for path in sorted(folder.glob("*.json"))}
    original = _original(folder)
    backend = getattr(original, "backend_tokenizer", None)
    if not isinstance(backend, Backend):
        raise TextError(
            "the tokenizer must be one that the package tokenizers runs, not transformers' "
            f"{type(original).__name__} ({folder})"
        )
    if dropout := getattr(backend.model, "dropout", None):
        raise TextError(f"dropout must be null, not {dropout:g} ({folder})")
    if original.clean_up_tokenization_spaces and not isinstance(backend.model, BPE):
        raise TextError(f"clean_up_tokenization_spaces must be false, not true ({folder})")
    with refused(f"{folder} must hold a tokenizer that works, not"):
        settings = Settings(
            special_tokens=dict(original.special_tokens_map),
            stop_ids=tuple(_stop_ids(folder, contents, original.eos_token_id)),
            split_special_tokens=bool(original.split_special_tokens),
            **_templates(original.chat_template, folder),
        )
        library = LibraryTokenizer.from_str(backend.to_str(), settings.split_special_tokens)
        own = tuple(_own_texts(Tokenizer(library, settings), original, folder))
    return Tokenizer(library, replace(settings, own_texts=own))


def _original(folder: Path) -> Any:
    """Return the tokenizer that transformers makes of a folder."""
    from transformers import AutoTokenizer

    try:
        with refused(f"{folder} must hold a tokenizer that transformers reads, not"):
            return AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except TextError:
        file = folder / "tokenizer.json"
        if file.is_file():
            with refused(f"{file} must be a tokenizer, not"):
                Backend.from_file(str(file))
        raise


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise TextError(f"{path} must be JSON, not: {reason(error)}") from None
    if not isinstance(values, dict):
        raise TextError(f"{path} must be a JSON object, not a {type(values).__name__}")
    return values


def _templates(found: object, folder: Path) -> dict[str, Any]:
    """Return the settings that tell of one template or several by name."""
    if isinstance(found, dict):
        default = found.get("default")
        if default is None and found:
            return {"chat_template": None, "named_templates": tuple(sorted(map(str, found)))}
        found = default
    if found is not None and not isinstance(found, str):
        kind = type(found).__name__
        raise TextError(f"chat_template must be text, not a {kind} ({folder})")
    return {"chat_template": found}


def _stop_ids(folder: Path, contents: dict[str, Any], own: int | None) -> Iterable[int]:
    """Yield what ends an answer.

    It is what transformers' `generate` takes, from generation_config.json or else the model's
    configuration with its defaults, and the tokenizer's own end token: what a chat model ends its
    turns with is often known there alone.
    """
    name = "generation_config.json"
    found = contents.get(name, {}).get("eos_token_id")
    if found is None:
        from transformers import AutoConfig

        name = "config.json"
        try:
            config = AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            ).get_text_config(decoder=True)
        except (ValueError, OSError):
            found = contents.get(name, {}).get("eos_token_id")
        else:
            found = getattr(config, "eos_token_id", None)
    values = found if isinstance(found, list) else [] if found is None else [found]
    wrong = [value for value in values if type(value) is not int]
    if wrong:
        raise TextError(
            f"eos_token_id must be a token id or a list of them, not {found!r} ({folder / name})"
        )
    return dict.fromkeys(value for value in (*values, own) if value is not None and value >= 0)


def _own_texts(tokenizer: Tokenizer, original: Any, folder: Path) -> list[str]:
    """Return the added tokens that transformers itself looks for in a text, as CodeLlama's fill.

    TextError if a tokenizer does not give what transformers gives for other texts.
    """
    added = [str(token) for token in original.added_tokens_decoder.values()]
    own = [text for text in added[:_EXAMINED] if not _same(tokenizer, original, text)]
    others = " a ".join(text for text in added if text not in own)
    for text in (*_TEXTS, others):
        if not _same(tokenizer, original, text):
            kind = type(original).__name__
            raise TextError(
                "the tokenizer must be one that can be saved as it is, not transformers' "
                f"{kind}, which reads {text[:40]!r} in another way ({folder})"
            )
    return own


def _same(tokenizer: Tokenizer, original: Any, text: str) -> bool:
    return all(
        _outcome(_ours, tokenizer, text, special) == _outcome(_theirs, original, text, special)
        for special in (True, False)
    )


def _ours(tokenizer: Tokenizer, text: str, special: bool) -> tuple[list[int], str]:
    ids = tokenizer.encode(text, special)
    return ids, tokenizer.decode(ids)


def _theirs(original: Any, text: str, special: bool) -> tuple[list[int], str]:
    ids = original(text, add_special_tokens=special)["input_ids"]
    return ids, original.decode(ids, skip_special_tokens=True)


def _outcome(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function gives; None if it refuses, as for a text with unknown words."""
    try:
        return function(*arguments)
    except MemoryError:
        raise
    except Exception:
        return None
