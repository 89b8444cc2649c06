"""Where a model's tokenizer comes from: a GGUF file or a Hugging Face folder, converted once."""

import hashlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from alula.frontend.compressed import GGUF_TOKENIZER, TOKENIZER
from alula.frontend.fields import Fields
from alula.frontend.gguf_file import GgufFile
from alula.frontend.refusal import FrontendError
from alula.kept import kept
from alula.runtime.errors import TokenizerError
from alula.runtime.gguf_vocabulary import describe
from alula.runtime.tokenizer import BoundedTokenizer
from alula.runtime.tokenizer_folder import convert_files, files_id, tokenizer_files
from alula.sources import sources_id
from alula.text.gguf.tokenizer import GgufTokenizer
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


def tokenizer_copy(source: Path | None) -> dict[str, bytes]:
    """Return what a compressed model's folder needs to have the tokenizer of `source`, if any.

    Files by their path in that folder, from where `open_tokenizer` reads them.

    Raises:
        FrontendError: the GGUF file cannot be read.
        OSError: a file cannot be read.
    """
    if source is None:
        return {}
    if source.is_dir():
        return {f"{TOKENIZER}/{name}": data for name, data in tokenizer_files(source).items()}
    return {GGUF_TOKENIZER: GgufFile(source).without_tensors()}


def _converted(content: str, convert: Callable[[Path], None]) -> BoundedTokenizer:
    """Return the tokenizer that the cache has of a content; it is converted where there is none.

    The converter's sources and the libraries' versions are part of its name.
    """
    versions = [version(name) for name in _LIBRARIES]
    sources = sources_id("alula.frontend", "alula.runtime", "alula.text")
    key = hashlib.sha256("\n".join((content, *versions, sources)).encode()).hexdigest()
    return BoundedTokenizer(kept("tokenizers", key[:32], convert))


def _from_gguf(path: Path) -> Tokenizer:
    metadata = GgufFile(path).metadata
    try:
        described = describe(metadata, path)
        template = Fields(metadata, path).text("tokenizer.chat_template", "")
    except FrontendError as error:
        raise TokenizerError(str(error)) from None
    tokenizer = GgufTokenizer(described.vocabulary)
    named = {
        "bos_token": tokenizer.shown(described.bos),
        "eos_token": tokenizer.shown(described.eos),
    }
    settings = Settings(template or None, described.stop_ids, named, gguf=True)
    return Tokenizer(tokenizer, settings)
