"""Sweep files: what they say, and what a wrong one is told."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from alula.design import DesignError
from alula.explore.space import Sweep, load_sweep

QUICK = Path(__file__).parents[2] / "designs" / "sweeps" / "quick.yaml"
VALUES: dict[str, Any] = yaml.safe_load(QUICK.read_text())


def test_quick() -> None:
    sweep = load_sweep(QUICK)
    points = sweep.points
    assert 4 <= len(points) <= 6
    assert [dict(point.values) for point in points[:2]] == [
        {"mpe.tokens": 1, "memory.beat_bytes": 8},
        {"mpe.tokens": 1, "memory.beat_bytes": 16},
    ]
    design = points[2].design
    assert (design.mpe.tokens, design.memory.beat_bytes) == (2, 8)
    assert design.memory.capacity_mib == 16
    shape = sweep.layer.architecture
    assert (shape.layers, shape.hidden_size, shape.heads, shape.head_dim) == (1, 192, 3, 64)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"axes": {}}, "must be at least 1 long, not a mapping (s.yaml: axes)"),
        ({"axes": {"mpe.tokens": []}}, "must be at least 1 long, not a list (s.yaml: axes."),
        ({"axes": {"mpe.tokens": 4}}, "must be a list, not 4 (s.yaml: axes.mpe.tokens)"),
        ({"axes": {"mpe.token": [2]}}, "must be a field of a design (lanes, tokens, accum"),
        ({"axes": {"speed": [2]}}, "must be a field of a design (name, part, clock_mhz, "),
        ({"axes": {"mpe": [2]}}, "must be one of its fields (lanes, tokens, accum"),
        ({"axes": {"clock_mhz.x": [2]}}, "must be a field of a design (no further key), not"),
        ({"fixed": {"mpe.tokens": 2}}, "must be a field that is not fixed, not 'mpe.tokens'"),
        ({"axes": {"clock_mhz": list(range(10_001))}}, "must be at most 10000 points, not 10001"),
        ({"workload": {}}, "must be decode_at, prefill or both, not none of them"),
        ({"workload": {"prefill": 9000}}, "must be at most 8192 tokens (smollm2-135m), not 9000"),
        ({"layer": {"model": "gpt5"}}, "must be smollm2-135m, llama2-7b or gpt2, not 'gpt5'"),
        ({"layer": {"model": "gpt2", "kv_heads": 5}}, "must be a possible shape: "),
        ({"base": "kv270"}, "must be a design file, or kv260"),
        ({"speed": 1}, "must be one of the keys name, base, fixed, axes, layer or workload"),
    ],
)
def test_wrong_values(change: dict[str, Any], words: str) -> None:
    with pytest.raises(DesignError) as caught:
        Sweep.from_mapping(VALUES | change, "s.yaml")
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(DesignError, match=r"^must be a sweep file, or quick, not a missing one"):
        load_sweep(tmp_path / "none.yaml")
