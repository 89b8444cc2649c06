"""The files of a Hugging Face folder that make its tokenizer, and the tokenizer they make."""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from alula.runtime.errors import TokenizerError
from alula.runtime.tokenizer import file_budget, told
from alula.sources import sources_id
from alula.text.process import TEXT_PROCESS

_NAMES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.json",
    "generation_config.json",
    "chat_template.jinja",
    # What there was before tokenizer.json, and beside it.
    *("vocab.json", "merges.txt", "vocab.txt", "vocab.bpe", "bpe.codes", "dict.txt", "emoji.json"),
    *("tokenizer.model", "sentencepiece.model", "sentencepiece.bpe.model", "spiece.model"),
    *("spm.model", "tiktoken.model", "tekken.json"),
)
"""What transformers reads, by the name it has."""

_VERSIONED = "tokenizer.*.json"
_TEMPLATES = "additional_chat_templates/*.jinja"

_LARGEST = 100_000_000
"""Bytes of one file: three times the largest tokenizer known."""


def tokenizer_files(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder that its tokenizer is made of, by their path in it.

    Raises:
        TokenizerError: one is too large, or no file at all but a pipe or a device.
        OSError: one cannot be read.
    """
    paths = {folder / name for name in _NAMES}
    paths |= {*folder.glob(_VERSIONED), *folder.glob(_TEMPLATES)}
    found = ((path, _content(path)) for path in sorted(paths))
    return {str(path.relative_to(folder)): data for path, data in found if data is not None}


def files_id(files: Mapping[str, bytes]) -> str:
    """Return the identity of what files make: their content and the code that reads them."""
    digest = sha256(f"{version('transformers')} {version('tokenizers')}\n".encode())
    digest.update(sources_id("alula.text").encode())
    for name, data in sorted(files.items()):
        digest.update(f"\n{name} {len(data)}\n".encode(errors="surrogatepass") + data)
    return digest.hexdigest()


def convert_files(files: Mapping[str, bytes], target: Path, folder: Path) -> None:
    """Write the tokenizer that files make into a folder, as `Tokenizer.load` reads it.

    Args:
        files: content by path, from `tokenizer_files`.
        target: the folder to write into.
        folder: where the files are from, for messages.

    Raises:
        TokenizerError: they make no tokenizer, or one of a kind that is not supported.
        OSError: there is no room to write.
    """
    size = sum(map(len, files.values()))
    with _copied(files) as copy, told():
        TEXT_PROCESS.call(
            f"{folder} must hold a tokenizer that loads, not",
            "convert",
            str(copy),
            str(target),
            str(folder),
            seconds=file_budget(size),
        )


def _content(path: Path) -> bytes | None:
    """Return a file's bytes, None if it is not there. Nothing is waited for, as a pipe would."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise TokenizerError(f"{path} must be a file, not {_kind(found.st_mode)}")
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise TokenizerError(
            f"{path} must be at most {_LARGEST / 1e6:.0f} MB, not {found.st_size / 1e6:.0f} MB"
        )
    return data


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a device"


@contextmanager
def _copied(files: Mapping[str, bytes]) -> Iterator[Path]:
    """Give a folder with nothing but these files.

    What transformers reads is then what was read here: it finds no code, no weights and nothing
    that has changed since, and the folder's own name says nothing to it.
    """
    with TemporaryDirectory(prefix="alula-tokenizer-") as name:
        for path, data in files.items():
            (Path(name) / path).parent.mkdir(exist_ok=True)
            (Path(name) / path).write_bytes(data)
        yield Path(name)
