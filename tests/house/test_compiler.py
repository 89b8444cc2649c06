"""A C++ compiler that is odd is told in one line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from alula.rtl.toolchain import ToolchainError, toolchain


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    toolchain.cache_clear()
    yield
    toolchain.cache_clear()


@pytest.mark.parametrize(
    ("script", "words"),
    [("exit 0", "must tell its version, and did not"), ("exit 3", "ended with 3: nothing said")],
)
def test_a_compiler_without_a_version(
    script: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "cxx"
    compiler.write_text(f"#!/bin/sh\n{script}\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(ToolchainError, match=words):
        toolchain()
