"""Reads files that a person names: regular ones only, and no more of them than was reckoned with.

A FIFO waits for a writer that never comes, and a device has no end; neither is opened to be read.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

MOST_TEXT_BYTES = 64 << 20
"""Bytes of the longest text that is read."""

_KINDS = {
    stat.S_IFDIR: (errno.EISDIR, "Is a directory"),
    stat.S_IFIFO: (errno.EINVAL, "Is a FIFO"),
    stat.S_IFCHR: (errno.EINVAL, "Is a device"),
    stat.S_IFBLK: (errno.EINVAL, "Is a device"),
    stat.S_IFSOCK: (errno.EINVAL, "Is a socket"),
}


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file to be read, as bytes.

    Raises:
        OSError: it is something else, it cannot be read, or no file can have such a name.
    """
    try:
        # Without a writer a FIFO would be waited for.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:
        raise OSError(errno.EINVAL, f"No file name: {error}", str(path)) from None
    except OSError as error:
        # A socket cannot even be opened.
        raise _refusal(path) or error from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _refusal(path) or OSError(errno.EINVAL, "Is no regular file", str(path))
    return os.fdopen(handle, "rb")


def read_bytes(path: Path, most: int = MOST_TEXT_BYTES) -> bytes:
    """Return what a regular file of at most `most` bytes holds.

    Raises:
        OSError: as `open_regular`, or it is larger.
    """
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"Is larger than {most} bytes", str(path))
    return content


def read_text(path: Path) -> str:
    """Return the text of a regular UTF-8 file of at most `MOST_TEXT_BYTES`.

    Raises:
        OSError: as `read_bytes`.
        UnicodeDecodeError: it is no UTF-8.
    """
    return read_bytes(path, MOST_TEXT_BYTES).decode()


def _refusal(path: Path) -> OSError | None:
    """What there is to say of a path that is no regular file; None if it is one, or is not."""
    try:
        kind = _KINDS.get(stat.S_IFMT(path.stat().st_mode))
    except OSError:
        return None
    return OSError(*kind, str(path)) if kind else None
