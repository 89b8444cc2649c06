"""Which importer a model goes to."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alula.frontend.checkpoint import Checkpoint
from alula.frontend.compressed import is_compressed, load_compressed
from alula.frontend.gguf_file import MAGIC
from alula.frontend.gguf_source import load_gguf
from alula.frontend.kinds import beginning, is_safetensors, refuse_pickle
from alula.frontend.refusal import FrontendError
from alula.progress import Progress, silent

if TYPE_CHECKING:
    from torch import nn

_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def load(
    model: str | Path | nn.Module,
    progress: Progress = silent,
    *,
    digest: str | None = None,
    context: int | None = None,
) -> Checkpoint:
    """A model from wherever it is. What a file is follows from its content, not from its name.

    Args:
        model: A GGUF file, a Hugging Face folder (config.json and safetensors), a compressed model,
            ``package.module:factory`` (called without arguments, gives a module; found from the
            working directory too), or a module that maps token ids ``[1, tokens]`` to logits ``[1,
            tokens, vocabulary]``.
        progress: Told how much of large files is hashed, and how far a module is compared.
        digest: SHA-256 of a GGUF file in hexadecimal, where whoever calls has just computed it.
        context: For modules: tokens of the longest text on which the module is compared with what
            was read, and most of the checkpoint's context. By default what a model of its size
            affords in about half a minute.

    Raises:
        FrontendError: The model cannot be read; the message is one line.
        UnsupportedModel: The model was read and asks for what is not supported; carries the table
            of refusals.
    """
    if not isinstance(model, str | os.PathLike):
        source = f"{type(model).__module__}.{type(model).__qualname__}"
        return _load_module(model, source, progress, context)
    path = Path(model)
    if isinstance(model, str) and not path.exists() and _FACTORY.fullmatch(model):
        return _load_module(_call(model), model, progress, context)
    try:
        path.stat()
    except (OSError, ValueError) as error:
        raise FrontendError(
            f"the model must be a GGUF file, a folder or package.module:factory, "
            f"not {str(model)!r}: {getattr(error, 'strerror', None) or error}"
        ) from error
    if path.is_dir() and is_compressed(path):
        return load_compressed(path, progress)
    if path.is_dir():
        _refuse_folder_around_gguf(path)
        from alula.frontend.huggingface import load_huggingface

        return load_huggingface(path, progress)
    refuse_pickle(path)
    if is_safetensors(beginning(path)):
        raise FrontendError(
            f"the model must be the folder with config.json, not one file of it ({path})"
        )
    return load_gguf(path, progress, digest=digest)


def _refuse_folder_around_gguf(folder: Path) -> None:
    """FrontendError for a folder that holds a GGUF file and no configuration."""
    if (folder / "config.json").exists():
        return
    for path in sorted(folder.iterdir()):
        if path.is_file() and beginning(path).startswith(MAGIC):
            raise FrontendError(
                f"the model must be the GGUF file {path.name}, not the folder around it ({folder})"
            )


def _load_module(module: Any, source: str, progress: Progress, context: int | None) -> Checkpoint:
    from alula.frontend.modules import load_module

    return load_module(module, source, progress, context)


def _call(name: str) -> Any:
    module_name, attribute = name.split(":")
    try:
        with _working_directory_importable():
            found = getattr(importlib.import_module(module_name), attribute)
            return found() if callable(found) and not _is_module(found) else found
    except Exception as error:
        raise FrontendError(
            f"{name} must give a module, not {type(error).__name__}: {error}"
        ) from error


def _is_module(value: object) -> bool:
    from torch import nn

    return isinstance(value, nn.Module)


@contextmanager
def _working_directory_importable() -> Iterator[None]:
    directory = os.getcwd()
    sys.path.append(directory)
    try:
        yield
    finally:
        sys.path.remove(directory)
