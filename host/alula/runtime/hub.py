"""Models of the Hugging Face Hub by their id: files that hold data, fetched once, used offline.

They are kept where huggingface_hub keeps them, so that what other programs have fetched is there
too. Of a repository no code and no pickle is ever taken.
"""

import errno
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

from alula.progress import Progress
from alula.runtime.errors import ModelError

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILE_SUFFIXES = (".gguf", ".safetensors", ".bin", ".pt", ".pth", ".json", ".yaml", ".py")
"""What the name of a file ends with; an id is not taken for one that is missing."""
_TAKEN = [
    "config.json",
    "generation_config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
]
_LEFT = ["*/*"]
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")
_LOCAL_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EFBIG, errno.ENOTDIR}
_CHUNK = 1 << 20


def is_hub_id(model: str) -> bool:
    """Whether a name has the form owner/name and is no file or folder here."""
    named = _ID.fullmatch(model) is not None and not model.endswith(_FILE_SUFFIXES)
    return named and not Path(model).exists()


def fetched(model: str, progress: Progress) -> Path:
    """Return the folder of a model of the Hub: from this machine if it is whole there.

    Args:
        model: its id, such as "HuggingFaceTB/SmolLM2-135M-Instruct".
        progress: called with how much has been downloaded.

    Raises:
        ModelError: it is not here and cannot be fetched, is no model that Alula reads, or a file
            is not what the Hub says.
        OSError: it cannot be written.
    """
    folder = _here(model)
    if folder is None:
        folder = _download(model, progress)
        if missing := _missing(folder):
            raise ModelError(f"{model} must have {missing} on the Hugging Face Hub, not miss it")
    if damaged := _damaged(folder):
        raise ModelError(
            f"{damaged} must be the bytes that the Hub has, not others; to fetch it again: "
            f"hf download {model} {damaged.name} --force-download"
        )
    return folder


def _here(model: str) -> Path | None:
    """Return the folder of a model if all of it is on this machine."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(model, local_files_only=True))
    except (OSError, ValueError):
        return None
    unfinished = folder.parents[1].glob("blobs/*.incomplete")
    return None if _missing(folder) or any(unfinished) else folder


def _download(model: str, progress: Progress) -> Path:
    from huggingface_hub import snapshot_download

    stage = f"downloading {model}"
    progress(stage, 0, 0)
    try:
        folder = snapshot_download(
            model,
            allow_patterns=_TAKEN,
            ignore_patterns=_LEFT,
            tqdm_class=_bars(stage, progress),
        )
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _LOCAL_FAULTS:
            raise
        if not isinstance(error, OSError | ValueError) and "http" not in type(error).__module__:
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ModelError(
            f"{model} must be a file or folder, or on the Hugging Face Hub and reachable, not so: "
            f"{reason}; where there is a network: hf download {model}"
        ) from None
    return Path(folder)


def _missing(folder: Path) -> str:
    """Return the first file that a model cannot do without and that is not there; "" if none is."""
    if not (folder / "config.json").is_file():
        return "config.json"
    index = folder / "model.safetensors.index.json"
    weights = ["model.safetensors"]
    if index.is_file():
        try:
            weights = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError):
            return index.name
    for name in weights:
        if not (folder / str(name)).is_file():
            return str(name)
    return "" if any((folder / name).is_file() for name in _TOKENIZERS) else "tokenizer.json"


def _damaged(folder: Path) -> Path | None:
    """Return a file that does not have the hash by which huggingface_hub keeps it.

    That is SHA-256 for large files, git's for small ones. Where there are no symbolic links,
    nothing is known of a file.
    """
    for path in sorted(folder.iterdir()):
        name = path.resolve().name
        named = path.is_symlink() and re.fullmatch("[0-9a-f]{64}|[0-9a-f]{40}", name)
        if named and name != _digest(path, len(name)):
            return path
    return None


def _digest(path: Path, letters: int) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256() if letters == 64 else hashlib.sha1(f"blob {size}\0".encode())
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _bars(stage: str, progress: Progress) -> Any:
    """Return a class of progress bars that draw nothing and tell `progress` of bytes."""
    from tqdm.auto import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            options |= {"file": io.StringIO(), "disable": False, "leave": False}
            super().__init__(*args, **options)

        def update(self, n: float | None = 1) -> bool | None:
            shown = super().update(n)
            if self.unit == "B" and self.total:
                progress(stage, min(int(self.n), int(self.total)), int(self.total))
            return shown

    return Bar
