"""A small model, and sweeps over small designs."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.shapes import FAMILIES

from alula.explore import Sweep
from alula.ir.shapes import SHAPES

SMALL = "small"
AXES = {
    "prefill_chunk": [2, 3, 4],
    "sfu.lanes": [2, 4],
    "buffers.stream_kib": [8, 16, 32],
    "clock_mhz": [40, 80],
}
VALUES: dict[str, Any] = {
    "name": "small",
    "base": "nano",
    "model": SMALL,
    "context": 32,
    "prompt": 16,
    "axes": AXES,
    "objectives": ["tokens_per_s", "lut"],
}


@pytest.fixture(autouse=True)
def small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of two layers that is known by a name."""
    monkeypatch.setitem(SHAPES, SMALL, FAMILIES["llama"])


@pytest.fixture
def small_sweep() -> Callable[..., Sweep]:
    """Makes sweeps of 36 points, 12 of which are no designs."""
    return lambda **change: Sweep.from_mapping(VALUES | change, "s.yaml")
