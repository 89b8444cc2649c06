"""Kernels kept on disk: machine code that is damaged is compiled again, not run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alula.model.kernels import compiled

VALUES = np.arange(100)


def total(values: np.ndarray) -> int:
    found = 0
    for value in values:
        found += value * value
    return found


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[int, int]]:
    """A function that a fresh process would call first: its result, and how often it compiles."""
    monkeypatch.setattr(compiled, "_cache_folder", lambda _: str(tmp_path))

    def call() -> tuple[int, int]:
        function = compiled.kernel()(total)
        result = function(VALUES)
        return result, sum(function.stats.cache_misses.values())

    return call


def test_compiled_once(kernel: Callable[[], tuple[int, int]], tmp_path: Path) -> None:
    assert kernel() == (328_350, 1)
    assert kernel() == (328_350, 0)
    assert {path.suffix for path in tmp_path.rglob("*.nb*")} == {".nbc", ".nbi"}


@pytest.mark.parametrize("kind", ["nbc", "nbi"])
@pytest.mark.parametrize("place", [0, 40, -1, None])
def test_damaged(
    kernel: Callable[[], tuple[int, int]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    place: int | None,
) -> None:
    kernel()
    (path,) = tmp_path.rglob(f"*.{kind}")
    data = bytearray(path.read_bytes())
    if place is None:
        data = data[: len(data) // 2]
    else:
        data[place] ^= 1
    path.write_bytes(data)
    assert kernel() == (328_350, 1)
    (record,) = caplog.records
    assert record.getMessage() == f"{path} was damaged and is compiled anew"
    assert kernel() == (328_350, 0)
