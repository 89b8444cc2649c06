"""C++ of Alula's own to a shared library, kept by content."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from alula.kept import kept
from alula.rtl.toolchain import command, toolchain

_FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared")


def native_library(texts: Mapping[str, str]) -> str:
    """Return the path of the library made of C++ files, by name; from the cache if it is there.

    Raises:
        ToolchainError: there is no compiler, or it refuses the text.
        OSError: the cache cannot be written.
    """
    tools = toolchain()
    key = hashlib.sha256(repr((tools.version, _FLAGS, sorted(texts.items()))).encode())

    def make(folder: Path) -> None:
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        sources = [folder / name for name in texts if name.endswith(".cpp")]
        command([tools.compiler, *_FLAGS, "-o", folder / "native.so", *sources])

    return str(kept("native", key.hexdigest()[:32], make) / "native.so")
