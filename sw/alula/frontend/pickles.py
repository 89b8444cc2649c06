"""Pickled checkpoints, told by their first bytes and refused: loading one runs code."""

from __future__ import annotations

from pathlib import Path

from alula.files import open_regular
from alula.frontend.refusal import FrontendError

SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")

_ZIP = b"PK\x03\x04"
_PROTOCOLS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))


def is_pickle(path: Path) -> bool:
    """Whether a file is pickled, or a zip as torch.save writes it, by suffix or content.

    Raises:
        FrontendError: The file cannot be read.
    """
    try:
        with open_regular(path) as file:
            start = file.read(4)
    except OSError as error:
        raise FrontendError(f"{path} must be readable, not {error.strerror or error}") from error
    return path.suffix.lower() in SUFFIXES or start == _ZIP or start.startswith(_PROTOCOLS)


def refuse_pickle(path: Path) -> None:
    """Raises FrontendError if the file is pickled or cannot be read."""
    if is_pickle(path):
        raise FrontendError(
            f"the weights must be GGUF or safetensors, not a pickle: "
            f"nothing is executed from a model file ({path})"
        )
