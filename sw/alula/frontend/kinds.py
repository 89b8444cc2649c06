"""What a file is, by its first bytes; its name says nothing. Pickled checkpoints are refused."""

import pickletools
import tarfile
import warnings
from pathlib import Path

from alula.files import open_regular
from alula.frontend.refusal import FrontendError

_BEGINNING = 1 << 16
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_PROTOCOLS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
_FEW_OPERATIONS = 4
_MOST_HEADER_BYTES = 100_000_000


def beginning(path: Path) -> bytes:
    """The first 64 KiB of a file. FrontendError if it cannot be read or is no regular file."""
    try:
        with open_regular(path) as file:
            return file.read(_BEGINNING)
    except OSError as error:
        raise FrontendError(f"{path} must be readable, not {error.strerror or error}") from error


def is_safetensors(start: bytes) -> bool:
    """Whether a file that begins so is safetensors: the length of a JSON object, then the object.

    The bounds are those of the safetensors library.
    """
    length = int.from_bytes(start[:8], "little")
    return start[8:9] == b"{" and 2 <= length <= _MOST_HEADER_BYTES


def is_pickle(start: bytes) -> bool:
    """Whether a file that begins so is a pickle of any protocol, or an archive that may hold one.

    ``torch.save`` writes zip, and wrote pickles one behind the other and tar before.
    """
    if start.startswith((*_ZIP, *_PROTOCOLS)):
        return True
    return _is_tar(start) or _is_early_pickle(start)


def refuse_pickle(path: Path) -> None:
    """Raises FrontendError if the file is pickled or cannot be read."""
    start = beginning(path)
    if not is_safetensors(start) and is_pickle(start):
        raise FrontendError(
            f"the weights must be GGUF or safetensors, not a pickle: "
            f"nothing is executed from a model file ({path})"
        )


def _is_tar(start: bytes) -> bool:
    """Whether there is a tar header, whose sum of bytes is right."""
    try:
        tarfile.TarInfo.frombuf(start[:512], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _is_early_pickle(start: bytes) -> bool:
    """Whether these are operations of protocol 0 or 1, which have no mark; none is executed."""
    count = 0
    try:
        with warnings.catch_warnings(action="ignore"):
            for operation, _, _ in pickletools.genops(start):
                count += 1
                if operation.name == "STOP":
                    return count > 1
    except (ValueError, OverflowError):
        # Of a long pickle this is where the beginning ends.
        return count >= _FEW_OPERATIONS and len(start) == _BEGINNING
    return False
