"""The files of a Hugging Face folder that make its tokenizer, and the tokenizer they make."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from alula.files import read_bytes
from alula.runtime.tokenizer import told
from alula.text.budget import Budget
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

    OSError if one cannot be read, is too large, or is no regular file.
    """
    paths = {folder / name for name in _NAMES}
    paths |= {*folder.glob(_VERSIONED), *folder.glob(_TEMPLATES)}
    found: dict[str, bytes] = {}
    for path in sorted(paths):
        with suppress(FileNotFoundError):
            found[str(path.relative_to(folder))] = read_bytes(path, _LARGEST)
    return found


def files_id(files: Mapping[str, bytes]) -> str:
    """Return the identity of files: a hash of their names and content."""
    digest = sha256()
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
            budget=Budget.of_file(size),
        )


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
