"""Only regular files are read, and never more of one than was reckoned with."""

import os
import socket
from pathlib import Path

import pytest

from alula.files import open_regular, read_bytes, read_text


def test_a_regular_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    (tmp_path / "link").symlink_to(path)
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"abc"
    assert (read_bytes(path, 3), read_text(path)) == (b"abc", "abc")


@pytest.mark.parametrize("kind", ["folder", "fifo", "socket", "device", "full", "missing", "nul"])
def test_anything_else(kind: str, tmp_path: Path) -> None:
    path, words = tmp_path / kind, f"Is a {kind.upper() if kind == 'fifo' else kind}"
    match kind:
        case "folder":
            path.mkdir()
            words = "Is a directory"
        case "fifo":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(str(path))
        case "device":
            path = Path("/dev/zero")
        case "full":
            path, words = Path("/dev/full"), "Is a device"
        case "missing":
            words = "No such file or directory"
        case "nul":
            path, words = tmp_path / "a\0b", "No file name: embedded null byte"
    with pytest.raises(OSError, match=rf"{words}: ") as caught:
        open_regular(path)
    assert caught.value.filename in (str(path), path)


def test_too_large(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="Is larger than 1000 bytes"):
        read_bytes(path, 1000)
